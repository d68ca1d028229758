package io.millrace.worker.model.config;

import io.millrace.worker.model.config.DecoderConfig.Activation;
import io.millrace.worker.model.config.DecoderConfig.Biases;
import io.millrace.worker.model.config.DecoderConfig.Multipliers;
import io.millrace.worker.model.config.DecoderConfig.Naming;
import io.millrace.worker.model.config.DecoderConfig.Norm;
import io.millrace.worker.model.config.DecoderConfig.QkNorm;
import io.millrace.worker.model.config.DecoderConfig.SoftCaps;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads the {@code llama.*} keys of GGUF metadata. What only tensors tell (tied embeddings, biases) the decoder asks for. */
final class GgufConfig {

    private final ConfigErrors errors;
    private final Map<String, Object> metadata;

    GgufConfig(String origin, Map<String, Object> metadata) {
        this.errors = new ConfigErrors(origin);
        this.metadata = metadata;
    }

    DecoderConfig read() {
        if (!(metadata.get("general.architecture") instanceof String architecture)) {
            throw errors.wrong("general.architecture", "is missing");
        }
        if (!architecture.equals("llama")) {
            throw errors.architecture(architecture);
        }
        if (number("llama.expert_count", 0) > 0) {
            throw errors.unsupported("llama.expert_count", "above 0", "dense models");
        }
        int hidden = integer("llama.embedding_length", ConfigErrors.MAX_SIZE);
        int heads = integer("llama.attention.head_count", ConfigErrors.MAX_SIZE);
        int kvHeads = metadata.containsKey("llama.attention.head_count_kv")
                ? integer("llama.attention.head_count_kv", ConfigErrors.MAX_SIZE)
                : heads;
        int headDim = headDim(hidden, heads);
        int layers = integer("llama.block_count", ConfigErrors.MAX_LAYERS);
        int context = integer("llama.context_length", Integer.MAX_VALUE);
        Rope rope = rope(headDim, context);
        errors.heads(heads, kvHeads, headDim, rope.dims());
        return new DecoderConfig(
                "llama",
                errors.origin(),
                Naming.GGUF,
                hidden,
                integer("llama.feed_forward_length", ConfigErrors.MAX_SIZE),
                layers,
                heads,
                kvHeads,
                headDim,
                vocabulary(),
                context,
                Norm.RMS,
                (float) errors.positive(
                        "llama.attention.layer_norm_rms_epsilon",
                        number("llama.attention.layer_norm_rms_epsilon", 1e-5)),
                QkNorm.NONE,
                Activation.SILU,
                rope,
                Collections.nCopies(layers, 0),
                new Biases(false, false, false),
                new SoftCaps(0, 0),
                new Multipliers(1, (float) (1 / Math.sqrt(headDim)), 1, 1),
                false,
                null,
                null);
    }

    private int headDim(int hidden, int heads) {
        if (!metadata.containsKey("llama.attention.key_length")) {
            if (hidden % heads != 0) {
                throw errors.wrong(
                        "llama.embedding_length",
                        "is " + hidden + ", not a multiple of llama.attention.head_count " + heads);
            }
            return hidden / heads;
        }
        int key = integer("llama.attention.key_length", ConfigErrors.MAX_SIZE);
        int value = metadata.containsKey("llama.attention.value_length")
                ? integer("llama.attention.value_length", ConfigErrors.MAX_SIZE)
                : key;
        if (key != value) {
            throw errors.unsupported(
                    "llama.attention.value_length", value + " beside a key length of " + key, "equal lengths");
        }
        return key;
    }

    /** Tokens of the vocabulary, as the metadata says; 0 when it does not. */
    private int vocabulary() {
        long tokens = metadata.get("tokenizer.ggml.tokens") instanceof List<?> list ? list.size() : 0;
        if (metadata.containsKey("llama.vocab_size")) {
            int said = integer("llama.vocab_size", ConfigErrors.MAX_SIZE);
            if (tokens != 0 && tokens != said) {
                throw errors.wrong(
                        "llama.vocab_size", "is " + said + ", but tokenizer.ggml.tokens has " + tokens + " entries");
            }
            return said;
        }
        return tokens == 0 ? 0 : errors.size("tokenizer.ggml.tokens", tokens, ConfigErrors.MAX_SIZE);
    }

    private Rope rope(int headDim, int context) {
        double theta = errors.positive("llama.rope.freq_base", number("llama.rope.freq_base", 10000));
        int dims = metadata.containsKey("llama.rope.dimension_count")
                ? integer("llama.rope.dimension_count", ConfigErrors.MAX_SIZE)
                : headDim;
        Object kind = metadata.getOrDefault("llama.rope.scaling.type", "none");
        if (kind.equals("none")) {
            return Rope.plain(Rope.Layout.PAIRS, theta, dims);
        }
        Rope.Kind parsed = switch (kind.toString()) {
            case "linear" -> Rope.Kind.LINEAR;
            case "yarn" -> Rope.Kind.YARN;
            default -> throw errors.unsupported("llama.rope.scaling.type", kind.toString(), "none, linear, yarn");
        };
        double factor = errors.positive("llama.rope.scaling.factor", number("llama.rope.scaling.factor", Double.NaN));
        double original = number("llama.rope.scaling.original_context_length", context);
        return new Rope(
                parsed,
                Rope.Layout.PAIRS,
                theta,
                dims,
                factor,
                errors.size("llama.rope.scaling.original_context_length", (long) original, Integer.MAX_VALUE),
                1,
                4,
                errors.positive("yarn_beta_fast", number("llama.rope.scaling.yarn_beta_fast", 32)),
                errors.positive("yarn_beta_slow", number("llama.rope.scaling.yarn_beta_slow", 1)),
                number("llama.rope.scaling.attn_factor", 1)
                        * (parsed == Rope.Kind.YARN ? 0.1 * Math.log(factor) + 1 : 1),
                0,
                0,
                true,
                List.of(),
                List.of());
    }

    private int integer(String key, int max) {
        @Nullable Object value = metadata.get(key);
        if (value == null) {
            throw errors.wrong(key, "is missing");
        }
        // Some converters write one value per layer.
        if (value instanceof long[] perLayer && perLayer.length > 0) {
            for (long other : perLayer) {
                if (other != perLayer[0]) {
                    throw errors.unsupported(key, "different from layer to layer", "one value for all layers");
                }
            }
            return errors.size(key, perLayer[0], max);
        }
        if (!(value instanceof Number number) || value instanceof Double || value instanceof Float) {
            throw errors.wrong(key, "is no whole number");
        }
        if (value instanceof java.math.BigInteger big && big.bitLength() > 63) {
            throw errors.wrong(key, "is " + big + " where 1 to " + max + " is possible");
        }
        return errors.size(key, number.longValue(), max);
    }

    private double number(String key, double otherwise) {
        @Nullable Object value = metadata.get(key);
        if (value == null) {
            return otherwise;
        }
        if (!(value instanceof Number number)) {
            throw errors.wrong(key, "is no number");
        }
        return number.doubleValue();
    }
}
