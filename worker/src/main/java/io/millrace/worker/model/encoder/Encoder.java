package io.millrace.worker.model.encoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.EncoderConfig;
import io.millrace.worker.model.config.EncoderConfig.Head;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.decoder.SlotCheck;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.decoder.WeightSlot.Rows;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.Recorder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Records the step program of an encoder over a checkpoint, and checks the weights it needs. Families are options of {@link
 * EncoderConfig}, not classes. Devlin et al., BERT (2018); Nussbaum et al., Nomic Embed (2024).
 */
public final class Encoder {

    private final EncoderConfig config;
    private final WeightSource source;
    private final EncoderNames names;
    private final Recorder recorder = new Recorder();
    private final Map<String, WeightSlot> slots = new LinkedHashMap<>();

    private Encoder(EncoderConfig config, WeightSource source) {
        this.config = config;
        this.source = source;
        this.names = new EncoderNames(config.naming(), source);
    }

    /**
     * The model of a checkpoint.
     *
     * @param kind which row is the embedding; a head takes the first whatever it says
     * @throws MillraceException MR-MODEL-003 when config and tensors contradict each other, MR-MODEL-004 when the head has another number
     *     of labels than 1
     */
    public static PooledModel of(EncoderConfig config, WeightSource source, Op.Pool.Kind kind) {
        return new Encoder(config, source).build(kind);
    }

    private PooledModel build(Op.Pool.Kind kind) {
        SlotCheck check = new SlotCheck(config.origin(), config.architecture(), config.layers(), source);
        int vocabulary = check.vocabulary(names.words() + ".weight", config.vocabularySize());
        boolean head = config.head() != Head.NONE;
        int x = embeddings(vocabulary);
        for (int layer = 0; layer < config.layers(); layer++) {
            x = mlp(layer, attention(layer, x));
        }
        int row = recorder.pool(x, head ? Op.Pool.Kind.FIRST : kind);
        recorder.output(head ? score(row) : row);
        slots.values().forEach(check::check);
        return new PooledModel(
                config.architecture(),
                config.origin(),
                recorder.finish(),
                slots,
                source,
                vocabulary,
                config.contextLength(),
                config.layers(),
                head ? 1 : config.hiddenSize(),
                head,
                null,
                config.rope());
    }

    private int embeddings(int vocabulary) {
        int h = config.hiddenSize();
        int x = recorder.embed(slot("word_embeddings", names.words() + ".weight", vocabulary, h), 1);
        int types = config.types();
        if (source.has(names.types() + ".weight") && types == 0) {
            types = (int) source.tensor(names.types() + ".weight").shape()[0];
        }
        if (types > 0) {
            int table = slot("token_type_embeddings", names.types() + ".weight", types, h);
            x = recorder.add(x, recorder.embedTypes(table), 1);
        }
        if (config.rope() == null) {
            int rows = config.contextLength() + config.positionOffset();
            int table = slot("position_embeddings", names.positions() + ".weight", rows, h);
            x = recorder.add(x, recorder.embedPositions(table, config.positionOffset()), 1);
        }
        return norm(x, "embeddings_norm", names.norm());
    }

    private int attention(int layer, int x) {
        int h = config.hiddenSize();
        List<Integer> qkv = qkv(x, layer);
        int q = qkv.get(0);
        int k = qkv.get(1);
        int dim = h / config.heads();
        Rope rope = config.rope();
        if (rope != null) {
            boolean pairs = rope.layout() == Rope.Layout.PAIRS;
            q = recorder.rope(q, config.heads(), dim, rope.dims(), pairs, 0);
            k = recorder.rope(k, config.heads(), dim, rope.dims(), pairs, 0);
        }
        int mixed = recorder.selfAttention(q, k, qkv.get(2), config.heads(), dim, (float) (1 / Math.sqrt(dim)));
        int out = linear(mixed, layer, List.of("attention"), h, h).getFirst();
        return norm(recorder.add(x, out, 1), layer, "attention_norm");
    }

    /** Three tensors, or the rows of one. */
    private List<Integer> qkv(int x, int layer) {
        int h = config.hiddenSize();
        List<String> parts = List.of("q", "k", "v");
        String fused = names.layer(layer, "qkv");
        if (!source.has(fused + ".weight")) {
            return linear(x, layer, parts, h, h);
        }
        boolean biased = source.has(fused + ".bias");
        int all = parts.size() * h;
        List<Integer> weights = new ArrayList<>();
        List<Integer> biases = new ArrayList<>();
        for (int i = 0; i < parts.size(); i++) {
            String name = "layers." + layer + "." + parts.get(i);
            weights.add(
                    slot(new WeightSlot(name, fused + ".weight", List.of(h, h), Rows.from(List.of(all, h), i * h, h))));
            biases.add(
                    biased
                            ? slot(new WeightSlot(
                                    name + ".bias", fused + ".bias", List.of(h), Rows.from(List.of(all), i * h, h)))
                            : Op.NONE);
        }
        return recorder.linear(x, weights, biases);
    }

    private int mlp(int layer, int x) {
        int h = config.hiddenSize();
        int wide = config.intermediateSize();
        int inner;
        if (config.gated()) {
            List<Integer> both = linear(x, layer, List.of("gate", "up"), wide, h);
            inner = gated(both.get(0), both.get(1));
        } else {
            inner = activation(linear(x, layer, List.of("up"), wide, h).getFirst());
        }
        int down = linear(inner, layer, List.of("down"), h, wide).getFirst();
        return norm(recorder.add(x, down, 1), layer, "norm");
    }

    private int gated(int gate, int up) {
        return switch (config.activation()) {
            case SILU -> recorder.gated(gate, up, Op.Gated.Function.SILU);
            case GELU_TANH -> recorder.gated(gate, up, Op.Gated.Function.GELU_TANH);
            case GELU, RELU ->
                throw new MillraceException(
                        "MR-MODEL-004",
                        config.origin() + ": a gated MLP with " + config.activation()
                                + " is not supported; supported: SILU, GELU_TANH.");
        };
    }

    private int activation(int x) {
        return recorder.activation(
                x, Op.Activation.Function.valueOf(config.activation().name()));
    }

    /** The logit of one label. */
    private int score(int row) {
        int h = config.hiddenSize();
        boolean dense = config.head() == Head.DENSE;
        String first = dense ? names.classifier(true, false) : names.pooler();
        String last = names.classifier(dense, true);
        int inner = recorder.activation(linear(row, "head", first, h, h), Op.Activation.Function.TANH);
        if (source.has(last + ".weight") && source.tensor(last + ".weight").shape()[0] != 1) {
            throw new MillraceException(
                    "MR-MODEL-004",
                    config.origin() + ": its head has "
                            + source.tensor(last + ".weight").shape()[0]
                            + " labels; supported as a scoring model: 1 label.");
        }
        return linear(inner, "classifier", last, 1, h);
    }

    private int norm(int x, int layer, String part) {
        return norm(x, "layers." + layer + "." + part, names.layer(layer, part));
    }

    private int norm(int x, String name, String tensor) {
        int h = config.hiddenSize();
        int weight = slot(name, tensor + ".weight", h);
        return recorder.layerNorm(x, weight, bias(name, tensor, h), config.normEps());
    }

    private List<Integer> linear(int x, int layer, List<String> parts, int out, int in) {
        List<Integer> weights = new ArrayList<>();
        List<Integer> biases = new ArrayList<>();
        for (String part : parts) {
            String name = "layers." + layer + "." + part;
            String tensor = names.layer(layer, part);
            weights.add(slot(name, tensor + ".weight", out, in));
            biases.add(bias(name, tensor, out));
        }
        return recorder.linear(x, weights, biases);
    }

    private int linear(int x, String name, String tensor, int out, int in) {
        int weight = slot(name, tensor + ".weight", out, in);
        return recorder.linear(x, List.of(weight), List.of(bias(name, tensor, out)))
                .getFirst();
    }

    /** BERT and RoBERTa have every bias; of others the checkpoint says. */
    private int bias(String name, String tensor, int n) {
        boolean present = config.naming() == EncoderConfig.Naming.BERT || source.has(tensor + ".bias");
        return present ? slot(name + ".bias", tensor + ".bias", n) : Op.NONE;
    }

    private int slot(String name, String tensor, int... shape) {
        return slot(new WeightSlot(name, tensor, Arrays.stream(shape).boxed().toList()));
    }

    private int slot(WeightSlot slot) {
        slots.putIfAbsent(slot.name(), slot);
        return recorder.weight(
                slot.name(), slot.shape().stream().mapToInt(Integer::intValue).toArray());
    }
}
