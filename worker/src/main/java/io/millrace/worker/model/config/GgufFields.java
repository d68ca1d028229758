package io.millrace.worker.model.config;

import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Typed, checked access to the keys of GGUF metadata that begin with the architecture's name. */
final class GgufFields {

    private final ConfigErrors errors;
    private final Map<String, Object> metadata;
    private final String prefix;

    GgufFields(ConfigErrors errors, Map<String, Object> metadata, String architecture) {
        this.errors = errors;
        this.metadata = metadata;
        this.prefix = architecture + ".";
    }

    ConfigErrors errors() {
        return errors;
    }

    /** A key in full, for messages. */
    String name(String key) {
        return prefix + key;
    }

    boolean has(String key) {
        return metadata.containsKey(prefix + key);
    }

    @Nullable
    Object value(String key) {
        return metadata.get(prefix + key);
    }

    int size(String key, int max) {
        return errors.size(name(key), whole(key), max);
    }

    int size(String key, int max, int otherwise) {
        return has(key) ? size(key, max) : otherwise;
    }

    /** As {@link #size}, but 0 is possible, and what a missing key means. */
    int count(String key, int max) {
        return !has(key) || whole(key) == 0 ? 0 : size(key, max);
    }

    double number(String key, double otherwise) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        if (!(value instanceof Number number)) {
            throw errors.wrong(name(key), "is no number");
        }
        return number.doubleValue();
    }

    double positive(String key, double otherwise) {
        return errors.positive(name(key), number(key, otherwise));
    }

    boolean flag(String key, boolean otherwise) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        if (!(value instanceof Boolean flag)) {
            throw errors.wrong(name(key), "is neither true nor false");
        }
        return flag;
    }

    String string(String key, String otherwise) {
        Object value = value(key);
        return value == null ? otherwise : value.toString();
    }

    /** Tokens of the vocabulary, as the metadata says; 0 when it does not. */
    int vocabulary() {
        long tokens = metadata.get("tokenizer.ggml.tokens") instanceof List<?> list ? list.size() : 0;
        if (has("vocab_size")) {
            int said = size("vocab_size", ConfigErrors.MAX_SIZE);
            if (tokens != 0 && tokens != said) {
                throw errors.wrong(
                        name("vocab_size"), "is " + said + ", but tokenizer.ggml.tokens has " + tokens + " entries");
            }
            return said;
        }
        return tokens == 0 ? 0 : errors.size("tokenizer.ggml.tokens", tokens, ConfigErrors.MAX_SIZE);
    }

    private long whole(String key) {
        Object value = value(key);
        if (value == null) {
            throw errors.wrong(name(key), "is missing");
        }
        // Some converters write one value per layer.
        if (value instanceof long[] perLayer && perLayer.length > 0) {
            for (long other : perLayer) {
                if (other != perLayer[0]) {
                    throw errors.unsupported(name(key), "different from layer to layer", "one value for all layers");
                }
            }
            return perLayer[0];
        }
        if (!(value instanceof Number number) || value instanceof Double || value instanceof Float) {
            throw errors.wrong(name(key), "is no whole number");
        }
        if (value instanceof BigInteger big && big.bitLength() > 63) {
            throw errors.wrong(name(key), "is " + big + ", beyond every possible size");
        }
        return number.longValue();
    }
}
