package io.millrace.worker.text.vocab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.IncrementalDetokenizer;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Small vocabularies, sound and broken ones, as a GGUF file would hold them. */
class VocabularyTest {

    private static Map<String, Object> bytePair() {
        Map<String, Object> metadata = new HashMap<>();
        metadata.put("tokenizer.ggml.model", "gpt2");
        metadata.put("tokenizer.ggml.pre", "smollm");
        metadata.put("tokenizer.ggml.tokens", List.of("a", "b", "ab", "<end>"));
        metadata.put("tokenizer.ggml.token_type", new int[] {1, 1, 1, 3});
        metadata.put("tokenizer.ggml.merges", new String[] {"a b"});
        return metadata;
    }

    private static Map<String, Object> pieces(String model, List<String> tokens, int[] types) {
        Map<String, Object> metadata = new HashMap<>();
        float[] scores = new float[tokens.size()];
        for (int i = 0; i < scores.length; i++) {
            scores[i] = -1 - i / 100f;
        }
        metadata.put("tokenizer.ggml.model", model);
        metadata.put("tokenizer.ggml.tokens", tokens);
        metadata.put("tokenizer.ggml.token_type", types);
        metadata.put("tokenizer.ggml.scores", scores);
        metadata.put("tokenizer.ggml.unknown_token_id", 0);
        return metadata;
    }

    private static Tokenizer create(Map<String, Object> metadata) {
        return GgufTokenizers.create("the-file.gguf", metadata);
    }

    private static void assertBroken(Map<String, Object> metadata, String key, Object value, String... says) {
        Map<String, Object> changed = new HashMap<>(metadata);
        changed.put("tokenizer.ggml." + key, value);
        assertThatThrownBy(() -> create(changed))
                .as("%s", (Object) says)
                .hasFieldOrPropertyWithValue("code", "MR-TEXT-002")
                .hasMessageContaining("the-file.gguf")
                .hasMessageContaining("Convert or download the file again")
                .satisfies(e -> assertThat(e.getMessage()).contains(says));
    }

    @Test
    void aBrokenVocabularyNamesFileKeyAndToken() {
        Map<String, Object> sound = bytePair();
        assertThat(create(sound).encode("abb<end>", true, true)).containsExactly(2, 1, 3);
        assertBroken(sound, "tokens", List.of(), "tokenizer.ggml.tokens is empty");
        assertBroken(sound, "tokens", 5, "tokenizer.ggml.tokens is not an array");
        assertBroken(sound, "tokens", List.of("a", "b", "ab", 4), "tokenizer.ggml.tokens[3] is not a string");
        assertBroken(sound, "tokens", List.of("a", "b", "ab", "a"), "\"a\" twice, as 0 and as 3");
        assertBroken(sound, "tokens", List.of("a", "b", "ab", "x".repeat(3000)), "tokens[3] has 3000 characters");
        assertBroken(sound, "token_type", new int[] {1, 1}, "4 tokens", "tokenizer.ggml.token_type has 2");
        assertBroken(sound, "token_type", new int[] {1, 1, 1, 77}, "tokenizer.ggml.token_type[3] is 77");
        assertBroken(sound, "scores", new float[] {1}, "4 tokens", "tokenizer.ggml.scores has 1");
        assertBroken(sound, "scores", new float[] {1, 2, 3, Float.NaN}, "tokenizer.ggml.scores[3] is NaN");
        assertBroken(sound, "scores", List.of("1"), "tokenizer.ggml.scores[0] is not a number");
        assertBroken(sound, "merges", new String[0], "tokenizer.ggml.merges", "missing or empty");
        assertBroken(sound, "merges", new String[] {"a b", "ab"}, "tokenizer.ggml.merges[1] of 2", "no pair");
        assertBroken(sound, "merges", new String[] {"a c"}, "tokenizer.ggml.merges[0]", "\"a c\"", "\"c\" is no token");
        assertBroken(sound, "merges", new String[] {"b a"}, "\"ba\" is no token");
        for (String id : List.of("bos", "eos", "eot", "eom", "unknown")) {
            assertBroken(sound, id + "_token_id", 4, "tokenizer.ggml." + id + "_token_id is 4", "there are 4 tokens");
            assertBroken(sound, id + "_token_id", "1", "tokenizer.ggml." + id + "_token_id is not a number");
            assertBroken(sound, id + "_token_id", -7, "is -7");
        }
    }

    @Test
    void missingScoresAndUnknownKindsAreRefused() {
        Map<String, Object> metadata = pieces("llama", List.of("<unk>", "a"), new int[] {2, 1});
        metadata.remove("tokenizer.ggml.scores");
        assertThatThrownBy(() -> create(metadata)).hasMessageContaining("needs tokenizer.ggml.scores");
        metadata.put("tokenizer.ggml.model", "t5");
        assertThatThrownBy(() -> create(metadata)).hasMessageContaining("needs tokenizer.ggml.scores");
        metadata.put("tokenizer.ggml.model", "rwkv");
        assertThatThrownBy(() -> create(metadata))
                .hasFieldOrPropertyWithValue("code", "MR-TEXT-003")
                .hasMessageContaining("\"rwkv\"");
        assertThatThrownBy(() -> create(Map.of())).hasFieldOrPropertyWithValue("code", "MR-TEXT-001");
    }

    @Test
    void emptyTokensAreNoDuplicatesAndAreNeverWritten() {
        Map<String, Object> metadata = bytePair();
        metadata.put("tokenizer.ggml.tokens", List.of("a", "b", "ab", "", ""));
        metadata.put("tokenizer.ggml.token_type", new int[] {1, 1, 1, 5, 3});
        assertThat(create(metadata).encode("aab", false, true)).containsExactly(0, 2);
        assertThat(create(metadata).bytes(4)).isEmpty();
    }

    /** The bytes come from a file: no offset in them may lead out of them. */
    @Test
    void aBrokenCharsMapIsRefusedOrHarmless() {
        Map<String, Object> metadata = pieces("t5", List.of("<unk>", "\u2581", "a"), new int[] {2, 1, 1});
        for (int size : new int[] {-1, 0, 3, 6, 1 << 30}) {
            byte[] blob = ByteBuffer.allocate(12)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(size)
                    .array();
            assertBroken(metadata, "precompiled_charsmap", blob, "charsmap of 12 bytes");
        }
        assertBroken(metadata, "precompiled_charsmap", new byte[] {1}, "charsmap of 1 bytes");
        java.util.Random random = new java.util.Random(5);
        for (int round = 0; round < 2_000; round++) {
            byte[] blob = new byte[4 + 64 + random.nextInt(20)];
            random.nextBytes(blob);
            ByteBuffer.wrap(blob).order(ByteOrder.LITTLE_ENDIAN).putInt(64);
            metadata.put("tokenizer.ggml.precompiled_charsmap", blob);
            assertThat(create(metadata).encode("a\u00e9\u4e2d\ud83d\udc4d a", false, true))
                    .hasSizeLessThan(500);
        }
    }

    @Test
    void unigramTakesTheBestSumAndFallsBackToBytesWhereItHasThem() {
        Map<String, Object> metadata =
                pieces("t5", List.of("<unk>", "\u2581", "a", "b", "ab", "\u2581ab"), new int[] {2, 1, 1, 1, 1, 1});
        metadata.put("tokenizer.ggml.eos_token_id", 0xFFFFFFFFL);
        Tokenizer tokenizer = create(metadata);
        assertThat(tokenizer.encode("ab abba", false, true)).containsExactly(5, 5, 3, 2);
        assertThat(tokenizer.encode("axyz b", false, true)).containsExactly(1, 2, 0, 1, 3);
        String[] tokens = new String[5 + 256];
        int[] types = new int[tokens.length];
        Arrays.fill(types, TokenType.BYTE);
        List.of("<unk>", "\u2581", "a", "b", "ab").toArray(tokens);
        Arrays.fill(types, 0, 5, TokenType.NORMAL);
        types[0] = TokenType.UNKNOWN;
        for (int b = 0; b < 256; b++) {
            tokens[5 + b] = "<0x%02X>".formatted(b);
        }
        Map<String, Object> withBytes = pieces("t5", List.of(tokens), types);
        withBytes.put("tokenizer.ggml.eos_token_id", 0xFFFFFFFFL);
        Tokenizer fallsBack = create(withBytes);
        int[] ids = fallsBack.encode("a\u00e9b", false, true);
        assertThat(ids).containsExactly(1, 2, 5 + 0xC3, 5 + 0xA9, 3);
        assertThat(IncrementalDetokenizer.decode(fallsBack, ids, false)).isEqualTo("a\u00e9b");
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama", "t5"})
    void extraSpacesAreRemovedWhereTheVocabularySaysSo(String model) {
        Map<String, Object> metadata = pieces(model, List.of("<unk>", "\u2581", "a"), new int[] {2, 1, 1});
        metadata.put("tokenizer.ggml.eos_token_id", 0xFFFFFFFFL);
        assertThat(create(metadata).encode(" a  a ", false, true)).containsExactly(1, 1, 2, 1, 1, 2, 1);
        metadata.put("tokenizer.ggml.remove_extra_whitespaces", true);
        assertThat(create(metadata).encode(" a  a ", false, true)).containsExactly(1, 2, 1, 2);
        assertThat(create(metadata).encode("   ", false, true)).isEmpty();
    }
}
