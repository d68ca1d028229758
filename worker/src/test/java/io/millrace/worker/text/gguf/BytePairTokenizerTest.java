package io.millrace.worker.text.gguf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.IncrementalDetokenizer;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.TokenizerGolden;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class BytePairTokenizerTest {

    private static BytePairTokenizer tokenizer(String name) {
        return new BytePairTokenizer(
                GgufVocabulary.fromMetadata(GgufMetadata.read("tokenizers/" + name + "/vocab.gguf")));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "smollm2",
                "trained-llama-bpe",
                "trained-deepseek-llm",
                "trained-gpt-4o",
                "trained-qwen35",
                "trained-deepseek-v3",
                "trained-tekken",
                "gpt2",
                "qwen2"
            })
    void agreesWithTheGoldenIdsWordsAndTexts(String name) {
        BytePairTokenizer tokenizer = tokenizer(name);
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        int words = 0;
        for (JsonNode c : cases.get("encode")) {
            if (c.has("words")) {
                List<String> split = new ArrayList<>();
                tokenizer.preTokenizer().forEach(c.get("text").stringValue(), (start, word) -> split.add(word));
                if (!c.has("ids_without_normalizer")) {
                    assertThat(split).as(c.get("name").stringValue()).isEqualTo(Golden.strings(c.get("words")));
                    words++;
                }
            }
        }
        assertThat(words).isGreaterThan(90);
        assertThat(tokenizer.vocabularySize())
                .isEqualTo(cases.get("vocabulary_size").intValue());
        TokenizerGolden.verify(tokenizer, cases);
        TokenizerGolden.verifyLoneSurrogates(tokenizer);
    }

    @Test
    void encodesTheStringsOfTheDefaultModel() {
        Tokenizer tokenizer = tokenizer("smollm2");
        int cases = 0;
        for (JsonNode c : Golden.json("smollm2/tokenize.json").get("cases")) {
            assertThat(tokenizer.encode(c.get("text").stringValue(), true, true))
                    .as(c.get("text").stringValue())
                    .isEqualTo(Golden.ids(c.get("ids")));
            cases++;
        }
        for (JsonNode c : Golden.json("smollm2/greedy.json").get("cases")) {
            assertThat(tokenizer.encode(c.get("prompt").stringValue(), true, true))
                    .isEqualTo(Golden.ids(c.get("prompt_ids")));
            cases++;
        }
        assertThat(cases).isEqualTo(52);
    }

    @Test
    void longAndRepetitiveWordsTakeLinearithmicTime() {
        Tokenizer tokenizer = tokenizer("trained-gpt-4o");
        for (String unit :
                List.of("a", "A", " ", "\n", "1", "\u4E2D", "\u0301", "=", " \n", "'S", "\uD83D\uDC4D", "Aa")) {
            String text = unit.repeat(200_000 / unit.length());
            int[] ids = Assertions.assertTimeoutPreemptively(
                    Duration.ofSeconds(20), () -> tokenizer.encode(text, false, true));
            assertThat(IncrementalDetokenizer.decode(tokenizer, ids, false)).isEqualTo(text);
        }
    }

    /** The heap and the scan are two ways to the same ids. */
    @Test
    void shortAndLongMergesAgree() {
        Random random = new Random(3);
        PairRanks ranks = new PairRanks(200);
        for (int rank = 0; rank < 200; rank++) {
            ranks.put(random.nextInt(4 + rank), random.nextInt(4 + rank), rank, 4 + rank);
        }
        Merger merger = new Merger(ranks);
        for (int round = 0; round < 5_000; round++) {
            int[] word = random.ints(1 + random.nextInt(60), 0, 4).toArray();
            assertThat(merger.merge(word.clone(), word.length)).isEqualTo(naive(ranks, word));
        }
    }

    private static int[] naive(PairRanks ranks, int[] word) {
        List<Integer> ids = new ArrayList<>();
        for (int id : word) {
            ids.add(id);
        }
        while (true) {
            int best = -1;
            long bestPair = PairRanks.NONE;
            for (int i = 0; i + 1 < ids.size(); i++) {
                long pair = ranks.get(ids.get(i), ids.get(i + 1));
                if (pair < bestPair) {
                    best = i;
                    bestPair = pair;
                }
            }
            if (best < 0) {
                return ids.stream().mapToInt(Integer::intValue).toArray();
            }
            ids.set(best, (int) bestPair);
            ids.remove(best + 1);
        }
    }

    @Test
    void brokenOrUnknownVocabulariesAreRefusedByCode() {
        assertThatThrownBy(() -> GgufTokenizers.create(Map.of())).hasFieldOrPropertyWithValue("code", "MR-TEXT-001");
        Map<String, Object> metadata = new HashMap<>();
        metadata.put("tokenizer.ggml.model", "gpt2");
        metadata.put("tokenizer.ggml.pre", "smollm");
        metadata.put("tokenizer.ggml.tokens", List.of("a", "b", "ab"));
        metadata.put("tokenizer.ggml.merges", new String[] {"a c"});
        assertThatThrownBy(() -> GgufTokenizers.create(metadata)).hasMessageContaining("\"a c\"");
        metadata.put("tokenizer.ggml.merges", new String[] {"a b"});
        assertThat(GgufTokenizers.create(metadata).encode("abb", true, true)).containsExactly(2, 1);
        metadata.put("tokenizer.ggml.eos_token_id", 3);
        assertThatThrownBy(() -> GgufTokenizers.create(metadata)).hasMessageContaining("there are 3 tokens");
        metadata.put("tokenizer.ggml.eos_token_id", 2);
        metadata.put("tokenizer.ggml.token_type", new int[] {1, 1});
        assertThatThrownBy(() -> GgufTokenizers.create(metadata)).hasFieldOrPropertyWithValue("code", "MR-TEXT-002");
        metadata.remove("tokenizer.ggml.token_type");
        metadata.put("tokenizer.ggml.pre", "strange");
        assertThatThrownBy(() -> GgufTokenizers.create(metadata)).hasMessageContaining("\"strange\"");
        metadata.put("tokenizer.ggml.model", "rwkv");
        assertThatThrownBy(() -> GgufTokenizers.create(metadata)).hasMessageContaining("\"rwkv\"");
    }

    @Test
    void theHashTellsVocabulariesApart() {
        assertThat(tokenizer("smollm2").hash())
                .isEqualTo(tokenizer("smollm2").hash())
                .isNotEqualTo(tokenizer("trained-llama-bpe").hash());
    }
}
