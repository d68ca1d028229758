package io.millrace.worker.text.gguf;

import io.millrace.shared.error.MillraceException;
import java.lang.reflect.Array;
import java.util.Collection;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The tokenizer part of a GGUF file's metadata ({@code tokenizer.ggml.*}). The arrays are not copied and must not change.
 *
 * @param model gpt2, llama, ...
 * @param pre name of the pre-tokenizer; "default" if the file has none
 * @param tokens token texts by id
 * @param types by id, see {@link TokenType}
 * @param scores by id; empty if the file has none
 * @param merges "left right", best first; empty if the file has none
 * @param bos -1: none; so for the other ids
 * @param eot end of turn
 * @param eom end of message
 * @param addBos null: not said, as for the other flags
 */
public record GgufVocabulary(
        String model,
        String pre,
        String[] tokens,
        int[] types,
        float[] scores,
        String[] merges,
        int bos,
        int eos,
        int eot,
        int eom,
        int unknown,
        @Nullable Boolean addBos,
        @Nullable Boolean addEos,
        @Nullable Boolean addSpacePrefix) {

    private static final String PREFIX = "tokenizer.ggml.";

    /**
     * From metadata by its full keys; arrays may be Java arrays or collections, numbers any {@link Number}.
     *
     * @throws MillraceException MR-TEXT-001 there is no vocabulary, MR-TEXT-002 it contradicts itself
     */
    public static GgufVocabulary fromMetadata(Map<String, ?> metadata) {
        if (!(metadata.get(PREFIX + "model") instanceof String model) || metadata.get(PREFIX + "tokens") == null) {
            throw new MillraceException(
                    "MR-TEXT-001",
                    "The GGUF file has no tokenizer (tokenizer.ggml.model and tokenizer.ggml.tokens are not both there)."
                            + " Use a file converted with its vocabulary.");
        }
        String[] tokens = strings(metadata, "tokens");
        int[] types = ints(metadata, "token_type", tokens.length);
        float[] scores = floats(metadata, "scores");
        if (types.length != tokens.length || (scores.length != 0 && scores.length != tokens.length)) {
            throw broken("%d tokens, %d token types, %d scores".formatted(tokens.length, types.length, scores.length));
        }
        Object pre = metadata.get(PREFIX + "pre");
        return new GgufVocabulary(
                model,
                pre instanceof String name ? name : "default",
                tokens,
                types,
                scores,
                strings(metadata, "merges"),
                id(metadata, "bos_token_id", tokens.length),
                id(metadata, "eos_token_id", tokens.length),
                id(metadata, "eot_token_id", tokens.length),
                id(metadata, "eom_token_id", tokens.length),
                id(metadata, "unknown_token_id", tokens.length),
                flag(metadata, "add_bos_token"),
                flag(metadata, "add_eos_token"),
                flag(metadata, "add_space_prefix"));
    }

    static MillraceException broken(String what) {
        return new MillraceException(
                "MR-TEXT-002",
                "The GGUF file's vocabulary is broken: " + what + ". Convert or download the file again.");
    }

    private static String[] strings(Map<String, ?> metadata, String key) {
        Object[] values = elements(metadata, key);
        String[] strings = new String[values.length];
        for (int i = 0; i < values.length; i++) {
            if (!(values[i] instanceof String string)) {
                throw broken(PREFIX + key + "[" + i + "] is not a string");
            }
            strings[i] = string;
        }
        return strings;
    }

    private static int[] ints(Map<String, ?> metadata, String key, int defaultLength) {
        if (metadata.get(PREFIX + key) == null) {
            int[] normal = new int[defaultLength];
            java.util.Arrays.fill(normal, TokenType.NORMAL);
            return normal;
        }
        Object[] values = elements(metadata, key);
        int[] ints = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            if (!(values[i] instanceof Number number)) {
                throw broken(PREFIX + key + "[" + i + "] is not a number");
            }
            ints[i] = number.intValue();
        }
        return ints;
    }

    private static float[] floats(Map<String, ?> metadata, String key) {
        Object[] values = elements(metadata, key);
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            if (!(values[i] instanceof Number number) || Float.isNaN(number.floatValue())) {
                throw broken(PREFIX + key + "[" + i + "] is not a number");
            }
            floats[i] = number.floatValue();
        }
        return floats;
    }

    private static Object[] elements(Map<String, ?> metadata, String key) {
        Object value = metadata.get(PREFIX + key);
        if (value == null) {
            return new Object[0];
        }
        if (value instanceof Collection<?> collection) {
            return collection.toArray();
        }
        if (value instanceof Object[] array) {
            return array;
        }
        if (!value.getClass().isArray()) {
            throw broken(PREFIX + key + " is not an array");
        }
        Object[] boxed = new Object[Array.getLength(value)];
        for (int i = 0; i < boxed.length; i++) {
            boxed[i] = Array.get(value, i);
        }
        return boxed;
    }

    private static int id(Map<String, ?> metadata, String key, int tokens) {
        Object value = metadata.get(PREFIX + key);
        if (value == null) {
            return -1;
        }
        if (!(value instanceof Number number)) {
            throw broken(PREFIX + key + " is not a number");
        }
        long id = number.longValue();
        if (id == 0xFFFFFFFFL || id == -1) {
            return -1;
        }
        if (id < 0 || id >= tokens) {
            throw broken(PREFIX + key + " is " + id + ", but there are " + tokens + " tokens");
        }
        return (int) id;
    }

    private static @Nullable Boolean flag(Map<String, ?> metadata, String key) {
        return metadata.get(PREFIX + key) instanceof Boolean flag ? flag : null;
    }
}
