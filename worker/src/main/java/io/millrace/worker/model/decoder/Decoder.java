package io.millrace.worker.model.decoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.Recorder;
import io.millrace.worker.program.StepProgram;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A decoder-only transformer over a checkpoint: which weights it needs, checked against the checkpoint, and the step program
 * that computes it. Families are options of {@link DecoderConfig}, not classes. Immutable after construction.
 */
public final class Decoder {

    private final DecoderConfig config;
    private final TensorNames names;
    private final Map<String, WeightSlot> slots = new LinkedHashMap<>();
    private final int vocabulary;
    private final boolean tied;
    private final StepProgram program;

    private Decoder(DecoderConfig config, WeightSource source) {
        this.config = config;
        this.names = new TensorNames(config.naming());
        SlotCheck check = new SlotCheck(config, source);
        this.vocabulary = check.vocabulary(names.embedding());
        this.tied = config.tiedEmbeddings() || !source.has(names.output());
        if (tied && !config.tiedEmbeddings() && config.naming() == DecoderConfig.Naming.HUGGING_FACE) {
            throw check.missing(names.output());
        }
        this.program = record(source);
        slots.values().forEach(check::check);
    }

    /**
     * The decoder of a checkpoint.
     *
     * @throws MillraceException MR-MODEL-003 when config and tensors contradict each other, naming file, tensor and remedy
     */
    public static Decoder of(DecoderConfig config, WeightSource source) {
        return new Decoder(config, source);
    }

    public DecoderConfig config() {
        return config;
    }

    /** Ids are below this: rows of the embedding. */
    public int vocabularySize() {
        return vocabulary;
    }

    /** Weights by slot name, each in the checkpoint with this shape. */
    public Map<String, WeightSlot> slots() {
        return Map.copyOf(slots);
    }

    public StepProgram program() {
        return program;
    }

    /** Name of the tensor with divisors of the rotary frequencies, as GGUF files of Llama 3.x have one. */
    public String ropeFactorsTensor() {
        return names.ropeFactors();
    }

    /** Frequencies of the positions, before a checkpoint's own divisors. */
    public RopeFrequencies frequencies() {
        return RopeFrequencies.of(config.rope());
    }

    private StepProgram record(WeightSource source) {
        Recorder r = new Recorder();
        int embedding = slot(r, "embed_tokens", names.embedding(), vocabulary, config.hiddenSize());
        int x = r.embed(embedding, config.multipliers().embedding());
        for (int layer = 0; layer < config.layers(); layer++) {
            x = attention(r, source, layer, x);
            x = mlp(r, source, layer, x);
        }
        int rows = r.gatherRows(x);
        int norm = slot(r, "norm", names.finalNorm(), config.hiddenSize());
        int last = r.rmsNorm(rows, norm, config.normEps(), 0);
        int output = tied ? embedding : slot(r, "lm_head", names.output(), vocabulary, config.hiddenSize());
        r.sample(r.logits(
                last, output, config.multipliers().logits(), config.softCaps().logits()));
        return r.finish();
    }

    private int attention(Recorder r, WeightSource source, int layer, int x) {
        int h = config.hiddenSize();
        int dim = config.headDim();
        int queries = config.heads() * dim;
        int keys = config.kvHeads() * dim;
        int norm = r.rmsNorm(x, vector(r, layer, "input_layernorm", h), config.normEps(), 0);
        boolean biases = config.biases().qkv();
        List<Integer> qkv = r.linear(
                norm,
                List.of(
                        matrix(r, layer, "self_attn.q_proj", queries, h),
                        matrix(r, layer, "self_attn.k_proj", keys, h),
                        matrix(r, layer, "self_attn.v_proj", keys, h)),
                List.of(
                        bias(r, source, layer, "self_attn.q_proj", queries, biases),
                        bias(r, source, layer, "self_attn.k_proj", keys, biases),
                        bias(r, source, layer, "self_attn.v_proj", keys, biases)));
        Rope rope = config.rope();
        int q = qkv.get(0);
        int k = qkv.get(1);
        if (rope.kind() != Rope.Kind.NONE) {
            boolean pairs = rope.layout() == Rope.Layout.PAIRS;
            q = r.rope(q, config.heads(), dim, rope.dims(), pairs, 0);
            k = r.rope(k, config.kvHeads(), dim, rope.dims(), pairs, 0);
        }
        r.kvWrite(k, qkv.get(2), 0, layer);
        int mixed = r.attention(
                q,
                0,
                layer,
                config.heads(),
                config.kvHeads(),
                dim,
                dim,
                config.windows().get(layer),
                config.multipliers().attention(),
                config.softCaps().attention());
        int out = linear(
                r,
                source,
                mixed,
                layer,
                "self_attn.o_proj",
                h,
                queries,
                config.biases().attentionOutput());
        return r.add(x, out, config.multipliers().residual());
    }

    private int mlp(Recorder r, WeightSource source, int layer, int x) {
        int h = config.hiddenSize();
        int wide = config.intermediateSize();
        int norm = r.rmsNorm(x, vector(r, layer, "post_attention_layernorm", h), config.normEps(), 0);
        boolean biases = config.biases().mlp();
        List<Integer> both = r.linear(
                norm,
                List.of(matrix(r, layer, "mlp.gate_proj", wide, h), matrix(r, layer, "mlp.up_proj", wide, h)),
                List.of(
                        bias(r, source, layer, "mlp.gate_proj", wide, biases),
                        bias(r, source, layer, "mlp.up_proj", wide, biases)));
        Op.Gated.Function function = config.activation() == DecoderConfig.Activation.SILU
                ? Op.Gated.Function.SILU
                : Op.Gated.Function.GELU_TANH;
        int gated = r.gated(both.get(0), both.get(1), function);
        int down = linear(r, source, gated, layer, "mlp.down_proj", h, wide, biases);
        return r.add(x, down, config.multipliers().residual());
    }

    private int linear(
            Recorder r, WeightSource source, int x, int layer, String part, int out, int in, boolean biased) {
        return r.linear(x, List.of(matrix(r, layer, part, out, in)), List.of(bias(r, source, layer, part, out, biased)))
                .getFirst();
    }

    private int matrix(Recorder r, int layer, String part, int out, int in) {
        return slot(r, "layers." + layer + "." + part, names.layer(layer, part, "weight"), out, in);
    }

    private int vector(Recorder r, int layer, String part, int n) {
        return slot(r, "layers." + layer + "." + part, names.layer(layer, part, "weight"), n);
    }

    /** A GGUF file has a bias where it has the tensor; config.json says. */
    private int bias(Recorder r, WeightSource source, int layer, String part, int n, boolean said) {
        String tensor = names.layer(layer, part, "bias");
        boolean present = config.naming() == DecoderConfig.Naming.GGUF ? source.has(tensor) : said;
        return present ? slot(r, "layers." + layer + "." + part + ".bias", tensor, n) : Op.NONE;
    }

    private int slot(Recorder r, String name, String tensor, int... shape) {
        List<Integer> sizes = new ArrayList<>();
        for (int size : shape) {
            sizes.add(size);
        }
        slots.putIfAbsent(name, new WeightSlot(name, tensor, List.copyOf(sizes)));
        return r.weight(name, shape);
    }

    /** Values of a checkpoint's tensor, in memory bytes when widened to float32. */
    public long floatBytes() {
        return slots.values().stream().mapToLong(WeightSlot::elements).sum() * Float.BYTES;
    }

    /** The stored tensor of a slot. */
    public static WeightTensor stored(WeightSource source, WeightSlot slot) {
        return source.tensor(slot.tensor());
    }
}
