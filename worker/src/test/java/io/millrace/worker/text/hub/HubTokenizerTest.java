package io.millrace.worker.text.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.TokenizerGolden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class HubTokenizerTest {

    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "smollm2",
                "trained-llama-bpe",
                "trained-deepseek-llm",
                "trained-gpt-4o",
                "trained-qwen35",
                "trained-spm-llama",
                "trained-deepseek-v3",
                "trained-tekken",
                "trained-spm-gemma",
                "trained-unigram",
                "gpt2",
                "qwen2",
                "phi3"
            })
    void agreesWithTheGoldenIdsAndTexts(String name) throws IOException {
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        Files.copy(Golden.path("tokenizers/" + name + "/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("generation_config.json"),
                "{\"bos_token_id\": " + cases.get("bos") + ", \"eos_token_id\": [" + cases.get("eos") + "]}");
        try (HubTokenizer tokenizer = HubTokenizer.open(folder)) {
            // Phi-3's GGUF vocabulary is padded, its tokenizer.json is not.
            assertThat(tokenizer.vocabularySize())
                    .isEqualTo(
                            name.equals("phi3")
                                    ? 32_011
                                    : cases.get("vocabulary_size").intValue());
            TokenizerGolden.verify(tokenizer, cases);
            TokenizerGolden.verifyLoneSurrogates(tokenizer);
        }
    }

    @Test
    void longTextIsNotCutAndSpecialTokensComeFromTheFilesBeside() throws IOException {
        Files.copy(Golden.path("tokenizers/smollm2/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"bos_token\": \"<|im_start|>\", \"eos_token\": {\"content\": \"<|im_end|>\"}}");
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [2, 0]}");
        try (HubTokenizer tokenizer = HubTokenizer.open(folder)) {
            assertThat(tokenizer.encode(" a".repeat(5_000), true, true)).hasSize(5_000);
            assertThat(tokenizer.bosId()).isEqualTo(1);
            assertThat(tokenizer.eosIds()).containsExactly(2, 0);
            assertThat(tokenizer.id("<|im_start|>")).isEqualTo(1);
            assertThat(tokenizer.bytes(1_000_000)).isEmpty();
        }
    }

    @Test
    void aMissingTokenizerNamesWhatWasLookedFor() {
        assertThatThrownBy(() -> HubTokenizer.open(folder))
                .hasFieldOrPropertyWithValue("code", "MR-TEXT-004")
                .hasMessageContaining(folder.resolve("tokenizer.json").toString());
    }

    @Test
    void aBrokenFileIsRefusedByCode() throws IOException {
        for (Map.Entry<String, String> broken : Arrays.stream(new String[] {
                    "",
                    "[]",
                    "{\"model\": 1}",
                    "{\"model\": {\"vocab\": {\"a\": -1}}}",
                    "{\"model\": {\"vocab\": {\"a\": 99999999999}}}",
                    "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"x y\"]}}"
                })
                .collect(Collectors.toMap(content -> content, content -> "MR-TEXT-005"))
                .entrySet()) {
            Files.writeString(folder.resolve("tokenizer.json"), broken.getKey());
            assertThatThrownBy(() -> HubTokenizer.open(folder))
                    .as(broken.getKey())
                    .hasFieldOrPropertyWithValue("code", broken.getValue());
        }
    }
}
