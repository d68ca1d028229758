package io.millrace.worker.model.config;

import io.millrace.worker.model.config.EncoderConfig.Function;
import io.millrace.worker.model.config.EncoderConfig.Head;
import io.millrace.worker.model.config.EncoderConfig.Naming;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Reads the metadata of an encoder's GGUF file. */
final class EncoderGguf {

    static final Set<String> ARCHITECTURES = Set.of("bert", "nomic-bert");
    /** {@code pooling_type} of a file with a classification head. */
    private static final int RANK = 4;

    private final ConfigErrors errors;
    private final Map<String, Object> metadata;
    private final String architecture;

    EncoderGguf(String origin, Map<String, Object> metadata) {
        this.errors = new ConfigErrors(origin);
        this.metadata = metadata;
        this.architecture = String.valueOf(metadata.get("general.architecture"));
    }

    EncoderConfig read() {
        if (!ARCHITECTURES.contains(architecture)) {
            throw errors.architecture(architecture);
        }
        if (Boolean.TRUE.equals(metadata.get(architecture + ".attention.causal"))) {
            throw errors.unsupported(architecture + ".attention.causal", "true", "false");
        }
        int hidden = integer("embedding_length", ConfigErrors.MAX_SIZE);
        int heads = integer("attention.head_count", ConfigErrors.MAX_SIZE);
        if (hidden % heads != 0) {
            throw errors.wrong(
                    architecture + ".embedding_length", "is " + hidden + ", not a multiple of " + heads + " heads");
        }
        boolean nomic = architecture.equals("nomic-bert");
        int dim = hidden / heads;
        if (nomic) {
            errors.heads(heads, heads, dim, dim);
        }
        Number pooling = number("pooling_type");
        return new EncoderConfig(
                architecture,
                errors.origin(),
                Naming.GGUF,
                hidden,
                integer("feed_forward_length", ConfigErrors.MAX_SIZE),
                integer("block_count", ConfigErrors.MAX_LAYERS),
                heads,
                0,
                integer("context_length", ConfigErrors.MAX_SIZE),
                0,
                // The table's own rows are counted where there is one.
                0,
                (float) errors.positive(
                        architecture + ".attention.layer_norm_epsilon", decimal("attention.layer_norm_epsilon", 1e-12)),
                nomic ? Function.SILU : Function.GELU,
                nomic,
                nomic
                        ? Rope.plain(
                                Rope.Layout.HALVES,
                                errors.positive(architecture + ".rope.freq_base", decimal("rope.freq_base", 10000)),
                                dim)
                        : null,
                pooling != null && pooling.intValue() == RANK ? Head.POOLER : Head.NONE,
                true);
    }

    private @Nullable Number number(String key) {
        String full = architecture + "." + key;
        Object value = metadata.get(full);
        if (value != null && !(value instanceof Number)) {
            throw errors.wrong(full, "is no number");
        }
        return (Number) value;
    }

    private double decimal(String key, double otherwise) {
        Number value = number(key);
        return value == null ? otherwise : value.doubleValue();
    }

    private int integer(String key, int max) {
        Number value = number(key);
        String full = architecture + "." + key;
        if (value == null || value instanceof Double || value instanceof Float) {
            throw errors.wrong(full, value == null ? "is missing" : "is no whole number");
        }
        return errors.size(full, value.longValue(), max);
    }
}
