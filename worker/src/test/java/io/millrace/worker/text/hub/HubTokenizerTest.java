package io.millrace.worker.text.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.TokenizerGolden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
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

    private HubTokenizer library() {
        return (HubTokenizer) FolderTokenizers.json(folder.resolve("tokenizer.json"), new ModelFolder(folder), true);
    }

    /** Vocabularies that we read ourselves: the library gives the same. */
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
                "trained-spm-llama",
                "trained-spm-gemma"
            })
    void theLibraryAgreesWhereWeDoNotNeedIt(String name) throws IOException {
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        Files.copy(Golden.path("tokenizers/" + name + "/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("config.json"),
                "{\"bos_token_id\": " + cases.get("bos") + ", \"eos_token_id\": " + cases.get("eos") + "}");
        try (HubTokenizer tokenizer = library()) {
            assertThat(TokenizerGolden.verify(tokenizer, cases).ids()).isEqualTo(438);
        }
    }

    /** The library would take the process down with it. */
    @Test
    void aRunThatTheLibraryCannotSurviveIsRefused() throws IOException {
        Files.copy(Golden.path("tokenizers/trained-llama-bpe/tokenizer.json"), folder.resolve("tokenizer.json"));
        try (HubTokenizer tokenizer = library()) {
            for (String unit : List.of(" ", "a")) {
                assertThatThrownBy(() -> tokenizer.encode("x " + unit.repeat(20_000_000), true, true))
                        .hasFieldOrPropertyWithValue("code", "MR-TEXT-006")
                        .hasMessageContaining("1000000 characters");
            }
            assertThat(tokenizer.encode(" ".repeat(999_999), false, true)).hasSizeGreaterThan(10_000);
        }
    }

    @Test
    void theConfigurationsFlagsTakeThePlaceOfTheFilesRule() throws IOException {
        Files.copy(Golden.path("tokenizers/trained-llama-bpe/tokenizer.json"), folder.resolve("tokenizer.json"));
        String tokens = "\"bos_token\": \"<|begin_of_text|>\", \"eos_token\": \"<|end_of_text|>\"";
        for (boolean library : new boolean[] {false, true}) {
            assertThat(around("{" + tokens + "}", library)).containsExactly(4005, -1);
            assertThat(around("{" + tokens + ", \"add_bos_token\": false}", library))
                    .containsExactly(-1, -1);
            assertThat(around("{" + tokens + ", \"add_eos_token\": true}", library))
                    .containsExactly(-1, 4006);
            assertThat(around("{" + tokens + ", \"add_bos_token\": true, \"add_eos_token\": true}", library))
                    .containsExactly(4005, 4006);
            assertThat(around("{\"add_bos_token\": true}", library)).containsExactly(-1, -1);
        }
    }

    /** Ids before and after a text, -1 for none. */
    private int[] around(String configuration, boolean library) throws IOException {
        Files.writeString(folder.resolve("tokenizer_config.json"), configuration);
        Tokenizer tokenizer = FolderTokenizers.json(folder.resolve("tokenizer.json"), new ModelFolder(folder), library);
        int[] bare = tokenizer.encode("word", false, true);
        int[] all = tokenizer.encode("word", true, true);
        if (tokenizer instanceof HubTokenizer hub) {
            hub.close();
        }
        int before = Arrays.equals(Arrays.copyOf(all, bare.length), bare) ? 0 : 1;
        assertThat(Arrays.copyOfRange(all, before, before + bare.length)).isEqualTo(bare);
        return new int[] {before == 0 ? -1 : all[0], all.length == before + bare.length ? -1 : all[all.length - 1]};
    }

    @Test
    void longTextIsNotCutAndSpecialTokensComeFromTheFilesBeside() throws IOException {
        Files.copy(Golden.path("tokenizers/smollm2/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"bos_token\": \"<|im_start|>\", \"eos_token\": {\"content\": \"<|im_end|>\"}}");
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [2, 0]}");
        try (HubTokenizer tokenizer = library()) {
            assertThat(tokenizer.encode(" a".repeat(5_000), true, true)).hasSize(5_000);
            assertThat(tokenizer.bosId()).isEqualTo(1);
            assertThat(tokenizer.eosIds()).containsExactly(2, 0);
            assertThat(tokenizer.id("<|im_start|>")).isEqualTo(1);
            assertThat(tokenizer.bytes(1_000_000)).isEmpty();
        }
    }

    @Test
    void aMissingTokenizerNamesWhatWasLookedFor() {
        assertThatThrownBy(() -> FolderTokenizers.open(folder))
                .hasFieldOrPropertyWithValue("code", "MR-TEXT-004")
                .hasMessageContaining(folder.toString())
                .hasMessageContaining("tokenizer.model")
                .hasMessageContaining("merges.txt");
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
            assertThatThrownBy(() -> FolderTokenizers.open(folder))
                    .as(broken.getKey())
                    .hasFieldOrPropertyWithValue("code", broken.getValue());
        }
    }
}
