package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.program.Recorder;
import java.util.List;

/** Records ordinary attention, from the normalised input to what is added to the residual stream. */
final class AttentionBlock {

    private static final String QKV = "self_attn.qkv_proj";
    private static final List<String> PARTS = List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj");

    private final DecoderConfig config;
    private final Slots slots;
    private final Recorder r;
    private final Norms norms;

    AttentionBlock(DecoderConfig config, Slots slots, Recorder r, Norms norms) {
        this.config = config;
        this.slots = slots;
        this.r = r;
        this.norms = norms;
    }

    int record(int layer, int x) {
        int dim = config.headDim();
        int queries = config.heads() * dim;
        int keys = config.kvHeads() * dim;
        LayerKind kind = config.layerKinds().get(layer);
        List<Integer> widths = List.of(queries, keys, keys);
        List<Integer> qkv = r.linear(
                x,
                slots.matrices(layer, QKV, PARTS, widths, config.hiddenSize()),
                slots.biases(layer, QKV, PARTS, widths, config.biases().qkv()));
        int q = turned(kind, config.heads(), normed(layer, "self_attn.q_norm", queries, qkv.get(0)));
        int k = turned(kind, config.kvHeads(), normed(layer, "self_attn.k_norm", keys, qkv.get(1)));
        r.kvWrite(k, qkv.get(2), 0, layer);
        int mixed = r.attention(
                q,
                0,
                layer,
                config.heads(),
                config.kvHeads(),
                dim,
                dim,
                kind.window(),
                config.multipliers().attention(),
                config.softCaps().attention());
        return output(slots, r, config, layer, mixed, queries);
    }

    /** The projection behind attention of any kind. */
    static int output(Slots slots, Recorder r, DecoderConfig config, int layer, int mixed, int width) {
        String part = "self_attn.o_proj";
        int hidden = config.hiddenSize();
        int bias = slots.bias(layer, part, hidden, config.biases().attentionOutput());
        return r.linear(mixed, List.of(slots.matrix(layer, part, hidden, width)), List.of(bias))
                .getFirst();
    }

    private int normed(int layer, String part, int width, int x) {
        return switch (config.qkNorm()) {
            case NONE -> x;
            case PER_HEAD -> norms.norm(layer, part, config.headDim(), x);
            case WHOLE -> norms.norm(layer, part, width, x);
        };
    }

    private int turned(LayerKind kind, int heads, int x) {
        if (kind.rope() == LayerKind.NO_ROPE) {
            return x;
        }
        Rope rope = config.ropes().get(kind.rope());
        return r.rope(x, heads, config.headDim(), rope.dims(), rope.layout() == Rope.Layout.PAIRS, kind.rope());
    }
}
