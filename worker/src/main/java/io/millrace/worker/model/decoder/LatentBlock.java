package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Latent;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.Recorder;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Records latent attention (DeepSeek-V2): keys and values are made from a narrow latent, which is what the cache holds; only a
 * part of each head that all heads' keys share is rotated.
 */
final class LatentBlock {

    private static final String KV_A = "self_attn.kv_a_proj_with_mqa";
    private static final String KV_B = "self_attn.kv_b_proj";

    private final DecoderConfig config;
    private final Slots slots;
    private final Recorder r;

    LatentBlock(DecoderConfig config, Slots slots, Recorder r) {
        this.config = config;
        this.slots = slots;
        this.r = r;
    }

    int record(int layer, int x) {
        Latent latent = Objects.requireNonNull(config.latent());
        boolean biases = config.biases().qkv();
        int kept = latent.kvRank() + latent.ropeDim();
        List<Integer> weights = new ArrayList<>(List.of(
                kvA(layer, "kv_latent", 0, latent.kvRank(), kept),
                kvA(layer, "kv_rope", latent.kvRank(), latent.ropeDim(), kept)));
        List<Integer> added = new ArrayList<>(List.of(
                kvABias(layer, "kv_latent", 0, latent.kvRank(), kept, biases),
                kvABias(layer, "kv_rope", latent.kvRank(), latent.ropeDim(), kept, biases)));
        boolean narrow = latent.queryRank() > 0;
        if (narrow) {
            weights.add(slots.matrix(layer, "self_attn.q_a_proj", latent.queryRank(), config.hiddenSize()));
            added.add(slots.bias(layer, "self_attn.q_a_proj", latent.queryRank(), biases));
        } else {
            addQueries(weights, added, layer, "self_attn.q_proj", config.hiddenSize());
        }
        List<Integer> made = r.linear(x, weights, added);
        int c = norm(layer, "self_attn.kv_a_layernorm", latent.kvRank(), made.get(0));
        r.kvWrite(c, turned(made.get(1), 1), 0, layer);
        List<Integer> q = made.subList(2, made.size());
        if (narrow) {
            int normed = norm(layer, "self_attn.q_a_layernorm", latent.queryRank(), q.getFirst());
            List<Integer> up = new ArrayList<>();
            List<Integer> none = new ArrayList<>();
            addQueries(up, none, layer, "self_attn.q_b_proj", latent.queryRank());
            q = r.linear(normed, up, none);
        }
        int mixed = r.latentAttention(
                q.get(0),
                turned(q.get(1), config.heads()),
                keyUp(layer, latent),
                valueUp(layer, latent),
                0,
                layer,
                config.heads(),
                latent.nopeDim(),
                latent.ropeDim(),
                latent.kvRank(),
                latent.valueDim(),
                config.multipliers().attention());
        return AttentionBlock.output(slots, r, config, layer, mixed, config.heads() * latent.valueDim());
    }

    private int kvA(int layer, String part, int first, int count, int kept) {
        List<Integer> stored = List.of(kept, config.hiddenSize());
        WeightSlot.Rows rows = WeightSlot.Rows.from(stored, first, count);
        return slots.rows(layer, "self_attn." + part, KV_A, rows, count, config.hiddenSize());
    }

    private int kvABias(int layer, String part, int first, int count, int kept, boolean said) {
        WeightSlot.Rows rows = WeightSlot.Rows.from(List.of(kept), first, count);
        return slots.biasRows(layer, "self_attn." + part, KV_A, rows, count, said);
    }

    /** Each head's rows are first those that positions do not matter to, then those that are turned. */
    private void addQueries(List<Integer> weights, List<Integer> biases, int layer, String part, int in) {
        Latent latent = Objects.requireNonNull(config.latent());
        weights.add(headRows(layer, part + ".nope", part, 0, latent.nopeDim(), config.headDim(), in));
        weights.add(headRows(layer, part + ".rope", part, latent.nopeDim(), latent.ropeDim(), config.headDim(), in));
        biases.add(Op.NONE);
        biases.add(Op.NONE);
    }

    private int keyUp(int layer, Latent latent) {
        if (slots.has(layer, KV_B) || config.naming() == DecoderConfig.Naming.HUGGING_FACE) {
            int both = latent.nopeDim() + latent.valueDim();
            return headRows(layer, "self_attn.k_b_proj", KV_B, 0, latent.nopeDim(), both, latent.kvRank());
        }
        List<Integer> stored = List.of(config.heads(), latent.kvRank(), latent.nopeDim());
        WeightSlot.Rows rows = new WeightSlot.Rows(stored, 0, latent.nopeDim(), latent.nopeDim(), true);
        int out = config.heads() * latent.nopeDim();
        return slots.rows(layer, "self_attn.k_b_proj", "self_attn.k_b_proj", rows, out, latent.kvRank());
    }

    private int valueUp(int layer, Latent latent) {
        if (slots.has(layer, KV_B) || config.naming() == DecoderConfig.Naming.HUGGING_FACE) {
            int both = latent.nopeDim() + latent.valueDim();
            return headRows(
                    layer, "self_attn.v_b_proj", KV_B, latent.nopeDim(), latent.valueDim(), both, latent.kvRank());
        }
        List<Integer> stored = List.of(config.heads(), latent.valueDim(), latent.kvRank());
        int out = config.heads() * latent.valueDim();
        WeightSlot.Rows rows = WeightSlot.Rows.from(stored, 0, out);
        return slots.rows(layer, "self_attn.v_b_proj", "self_attn.v_b_proj", rows, out, latent.kvRank());
    }

    /** The rows {@code first} to {@code first + run} of every head's {@code stride} rows. */
    private int headRows(int layer, String part, String tensorPart, int first, int run, int stride, int in) {
        List<Integer> stored = List.of(config.heads() * stride, in);
        WeightSlot.Rows rows = new WeightSlot.Rows(stored, first, run, stride, false);
        return slots.rows(layer, part, tensorPart, rows, config.heads() * run, in);
    }

    private int norm(int layer, String part, int width, int x) {
        return r.rmsNorm(
                x,
                slots.vector(layer, part, width),
                config.norms().eps(),
                config.norms().offset());
    }

    private int turned(int x, int heads) {
        Rope rope = config.ropes().getFirst();
        return r.rope(x, heads, rope.dims(), rope.dims(), rope.layout() == Rope.Layout.PAIRS, 0);
    }
}
