package io.millrace.worker.text.vocab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.Golden;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class PreTokenizersTest {

    private static final String[] ALL = {
        "gpt-2",
        "smollm",
        "llama-bpe",
        "minicpm5",
        "dbrx",
        "qwen2",
        "stablelm2",
        "laguna",
        "qwen35",
        "tekken",
        "gpt-4o",
        "default",
        "falcon",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
        "spark2_5",
        "youtu",
        "bloom",
        "viking",
        "chameleon",
        "jais-2",
        "bailingmoe",
        "seed-coder",
        "ufakzeka"
    };

    private static List<String> words(PreTokenizer preTokenizer, String text) {
        List<String> words = new ArrayList<>();
        preTokenizer.split(text, (start, end) -> words.add(text.substring(start, end)));
        return words;
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "smollm2, smollm",
        "trained-llama-bpe, llama-bpe",
        "trained-deepseek-llm, deepseek-llm",
        "trained-gpt-4o, gpt-4o",
        "trained-qwen35, qwen35",
        "trained-deepseek-v3, deepseek-v3",
        "trained-tekken, tekken",
        "gpt2, gpt-2",
        "qwen2, qwen2"
    })
    void cutsTheGoldenTextsIntoTheGoldenWords(String folder, String pre) {
        PreTokenizer preTokenizer = PreTokenizers.byName("golden", pre);
        int verified = 0;
        for (JsonNode c : Golden.json("tokenizers/" + folder + "/cases.json").get("encode")) {
            // The words are those of the normalized text.
            if (c.has("words") && !c.has("ids_without_normalizer")) {
                assertThat(words(preTokenizer, c.get("text").stringValue()))
                        .as(c.get("name").stringValue())
                        .isEqualTo(Golden.strings(c.get("words")));
                verified++;
            }
        }
        assertThat(verified).isGreaterThan(90);
    }

    /** What Hugging Face's library makes of the published regular expressions. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "gpt-2",
                "starcoder",
                "dbrx",
                "minicpm5",
                "stablelm2",
                "laguna",
                "default",
                "falcon",
                "deepseek-coder",
                "spark2_5",
                "youtu",
                "bloom",
                "viking",
                "chameleon",
                "jais-2",
                "bailingmoe",
                "seed-coder",
                "ufakzeka"
            })
    void cutsAsTheReferenceDoes(String pre) {
        JsonNode golden = Golden.json("tokenizers/pre-tokenizers.json");
        PreTokenizer preTokenizer = PreTokenizers.byName("golden", pre);
        List<String> wrong = new ArrayList<>();
        List<String> texts = Golden.strings(golden.get("texts"));
        List<String> lengths = Golden.strings(golden.get("lengths").get(pre));
        assertThat(texts).hasSameSizeAs(lengths).hasSize(50);
        for (int i = 0; i < texts.size(); i++) {
            List<String> words = words(preTokenizer, texts.get(i));
            StringBuilder got = new StringBuilder();
            words.forEach(word -> got.append(got.isEmpty() ? "" : " ").append(word.codePointCount(0, word.length())));
            if (!lengths.get(i).contentEquals(got)) {
                wrong.add(texts.get(i) + ": expected " + lengths.get(i) + ", got " + words);
            }
        }
        assertThat(wrong).isEmpty();
    }

    /** Counts how often a regular expression looks at a character; gives up where that is no longer proportional to the text. */
    private static final class Counted implements CharSequence {
        private static final long LOOKS_MAX = 3_000L;

        private final String text;
        private long looks;

        private Counted(String text) {
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            if (++looks > LOOKS_MAX * text.length()) {
                throw new IllegalStateException("over " + LOOKS_MAX + " looks a character");
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }
    }

    @Test
    void noRuleTakesMoreThanLinearTimeOnLongRuns() {
        int length = 12_000;
        for (String pre : ALL) {
            PreTokenizer preTokenizer = PreTokenizers.byName("golden", pre);
            for (String unit : List.of(
                    "a",
                    "A",
                    " ",
                    "\n",
                    "\r",
                    "1",
                    "\u4E2D",
                    "\u0301",
                    "=",
                    " \n",
                    "'S",
                    "\uD83D\uDC4D",
                    "Aa",
                    "\u4E2DA",
                    "<sentinel:",
                    "IMGIMGA",
                    " 1",
                    ".",
                    "\t",
                    "\u00A0",
                    "'")) {
                for (String end : List.of("", "x", "1", "\u4E2D", "\n")) {
                    Counted text = new Counted(unit.repeat(length / unit.length()) + end);
                    int[] covered = {0};
                    preTokenizer.split(text, (from, to) -> {
                        assertThat(from).isEqualTo(covered[0]);
                        covered[0] = to;
                    });
                    assertThat(covered[0]).as("%s %s %s", pre, unit, end).isEqualTo(text.length());
                }
            }
        }
    }

    @Test
    void aNameThatIsNotKnownIsRefusedByName() {
        for (String pre : List.of("strange", "kimi-k2", "superbpe", "afmoe", "roberta-bpe", "gemma4")) {
            assertThatThrownBy(() -> PreTokenizers.byName("the-file.gguf", pre))
                    .hasFieldOrPropertyWithValue("code", "MR-TEXT-003")
                    .hasMessageContaining("the-file.gguf")
                    .hasMessageContaining("\"" + pre + "\"");
        }
    }
}
