package io.millrace.worker.text.vocab;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.Golden;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

class BytePairTokenizerTest {

    private static Tokenizer tokenizer(String name) {
        try (GgufFile file = GgufFile.open(Golden.path("tokenizers/" + name + "/vocab.gguf"))) {
            return GgufTokenizers.create(name, file.metadata());
        }
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
    void theHashTellsVocabulariesApart() {
        assertThat(tokenizer("smollm2").hash())
                .isEqualTo(tokenizer("smollm2").hash())
                .isNotEqualTo(tokenizer("trained-llama-bpe").hash());
    }
}
