package io.millrace.worker.text.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.vocab.TokenType;
import io.millrace.worker.text.vocab.Vocabulary;
import java.lang.reflect.Array;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads the tokenizer part of a GGUF file's metadata, {@code tokenizer.ggml.*}. Not thread-safe. */
final class GgufVocabulary {

    private static final String PREFIX = "tokenizer.ggml.";

    private final String file;
    private final Map<String, ?> metadata;

    private GgufVocabulary(String file, Map<String, ?> metadata) {
        this.file = file;
        this.metadata = metadata;
    }

    /**
     * From metadata by its full keys; arrays may be Java arrays or collections, numbers any {@link Number}.
     *
     * @throws MillraceException MR-TEXT-001 there is no vocabulary, MR-TEXT-002 it contradicts itself, MR-TEXT-003 its kind is not
     *     supported
     */
    static Vocabulary read(String file, Map<String, ?> metadata) {
        if (!(metadata.get(PREFIX + "model") instanceof String model) || metadata.get(PREFIX + "tokens") == null) {
            throw new MillraceException(
                    "MR-TEXT-001",
                    file
                            + " has no tokenizer (tokenizer.ggml.model and tokenizer.ggml.tokens are not both there). Use a"
                            + " file converted with its vocabulary.");
        }
        return new GgufVocabulary(file, metadata).read(kind(file, model));
    }

    private static Vocabulary.Kind kind(String file, String model) {
        return switch (model) {
            case "gpt2" -> Vocabulary.Kind.BYTE_PAIR;
            case "llama" -> Vocabulary.Kind.SENTENCE_PIECE;
            case "t5" -> Vocabulary.Kind.UNIGRAM;
            default ->
                throw Vocabulary.unsupported("The tokenizer of " + file + ", tokenizer.ggml.model \"" + model
                        + "\", is not supported (gpt2, llama and t5 are). Use the model's safetensors folder with its"
                        + " tokenizer.json.");
        };
    }

    private Vocabulary read(Vocabulary.Kind kind) {
        String[] tokens = strings("tokens");
        int[] types = ints("token_type", tokens.length);
        return new Vocabulary(
                new Vocabulary.Source(
                        file, PREFIX + "tokens", PREFIX + "token_type", PREFIX + "scores", PREFIX + "merges"),
                kind,
                Vocabulary.Cutting.named(metadata.get(PREFIX + "pre") instanceof String pre ? pre : "default"),
                tokens,
                types,
                floats("scores"),
                // A sentencepiece vocabulary merges by its scores, whatever list stands beside them.
                kind == Vocabulary.Kind.BYTE_PAIR ? strings("merges") : new String[0],
                special(kind, tokens.length),
                new Vocabulary.Spaces(
                        flag("add_space_prefix"), Boolean.TRUE.equals(flag("remove_extra_whitespaces")), false, blob()),
                Map.of());
    }

    /** Files may leave out the ids that every vocabulary of the kind has had from the start. */
    private Vocabulary.Special special(Vocabulary.Kind kind, int tokens) {
        boolean unigram = kind == Vocabulary.Kind.UNIGRAM;
        boolean pieces = kind == Vocabulary.Kind.SENTENCE_PIECE;
        return new Vocabulary.Special(
                id("bos_token_id", tokens, pieces ? 1 : -1),
                id("eos_token_id", tokens, pieces ? 2 : unigram ? 1 : -1),
                new int[] {id("eot_token_id", tokens, -1), id("eom_token_id", tokens, -1)},
                true,
                id("unknown_token_id", tokens, pieces ? 0 : unigram ? 2 : -1),
                flag("add_bos_token"),
                flag("add_eos_token"));
    }

    private MillraceException broken(String what) {
        return Vocabulary.broken(file, what);
    }

    private String[] strings(String key) {
        Object[] values = elements(key);
        String[] strings = new String[values.length];
        for (int i = 0; i < values.length; i++) {
            if (!(values[i] instanceof String string)) {
                throw broken(PREFIX + key + "[" + i + "] is not a string");
            }
            strings[i] = string;
        }
        return strings;
    }

    private int[] ints(String key, int defaultLength) {
        if (metadata.get(PREFIX + key) == null) {
            int[] normal = new int[defaultLength];
            Arrays.fill(normal, TokenType.NORMAL);
            return normal;
        }
        if (metadata.get(PREFIX + key) instanceof long[] longs) {
            return Arrays.stream(longs).mapToInt(value -> (int) value).toArray();
        }
        Object[] values = elements(key);
        int[] ints = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            ints[i] = number(key, i, values[i]).intValue();
        }
        return ints;
    }

    private float[] floats(String key) {
        if (metadata.get(PREFIX + key) instanceof float[] floats) {
            return floats;
        }
        Object[] values = elements(key);
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            floats[i] = number(key, i, values[i]).floatValue();
        }
        return floats;
    }

    private Number number(String key, int i, Object value) {
        if (!(value instanceof Number number)) {
            throw broken(PREFIX + key + "[" + i + "] is not a number");
        }
        return number;
    }

    private byte[] blob() {
        String key = "precompiled_charsmap";
        Object[] values = elements(key);
        byte[] blob = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            blob[i] = number(key, i, values[i]).byteValue();
        }
        return blob;
    }

    private Object[] elements(String key) {
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

    private int id(String key, int tokens, int standard) {
        Object value = metadata.get(PREFIX + key);
        if (value == null) {
            return standard < tokens ? standard : -1;
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

    private @Nullable Boolean flag(String key) {
        return metadata.get(PREFIX + key) instanceof Boolean flag ? flag : null;
    }
}
