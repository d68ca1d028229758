package io.millrace.worker.text.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Folders without tokenizer.json. */
class FolderTokenizersTest {

    @TempDir
    private Path folder;

    private void write(String file, String content) throws IOException {
        Files.writeString(folder.resolve(file), content);
    }

    private void assertRefused(String code, String... says) {
        assertThatThrownBy(() -> FolderTokenizers.open(folder))
                .as("%s", (Object) says)
                .hasFieldOrPropertyWithValue("code", code)
                .satisfies(e ->
                        assertThat(e.getMessage()).contains(folder.toString()).contains(says));
    }

    @Test
    void addedTokensFlagsAndEndsComeFromTheFilesBeside() throws IOException {
        Files.copy(Golden.path("tokenizers/trained-spm-llama/spm.model"), folder.resolve("tokenizer.model"));
        Tokenizer plain = FolderTokenizers.open(folder);
        int hello = plain.encode("Hello", false, true).length;
        assertThat(plain.encode("Hello", true, true)).hasSize(hello + 1).startsWith(1);
        assertThat(plain.eosIds()).containsExactly(2);
        write("added_tokens.json", "{\"<|im_start|>\": 3000, \"<|im_end|>\": 3001}");
        write("special_tokens_map.json", "{\"eos_token\": \"<|im_end|>\", \"pad_token\": \"</s>\"}");
        write("generation_config.json", "{\"eos_token_id\": [3001, 2]}");
        write("tokenizer_config.json", """
                {"tokenizer_class": "LlamaTokenizer", "add_bos_token": false, "add_eos_token": true,
                 "added_tokens_decoder": {"3002": {"content": "<r>", "rstrip": true, "special": false},
                                          "3005": {"content": "stop", "single_word": true, "special": true}}}
                """);
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        assertThat(tokenizer.vocabularySize()).isEqualTo(3006);
        assertThat(tokenizer.bytes(3004)).isEmpty();
        assertThat(tokenizer.eosIds()).containsExactly(3001, 2);
        assertThat(tokenizer.encode("Hello", true, true)).hasSize(hello + 1).endsWith(3001);
        assertThat(tokenizer.encode("<|im_start|><r>   <|im_end|>stop", false, true))
                .containsExactly(3000, 3002, 3001, 3005);
        assertThat(tokenizer.encode("stopped <|im_end|>", false, true))
                .doesNotContain(3005)
                .contains(3001);
        assertThat(tokenizer.encode("<|im_end|>", false, false)).doesNotContain(3001);
        assertThat(tokenizer.isControl(3001)).isTrue();
        assertThat(tokenizer.isControl(3000)).isFalse();
    }

    @Test
    void damagedSentencePieceFilesAreRefusedAndNeverHang() throws IOException {
        byte[] sound = Files.readAllBytes(Golden.path("tokenizers/trained-spm-llama/spm.model"));
        Path file = folder.resolve("tokenizer.model");
        for (byte[] broken : List.of(new byte[0], new byte[] {1, 2, 3}, Arrays.copyOf(sound, sound.length / 2))) {
            Files.write(file, broken);
            assertRefused("MR-TEXT-002", "tokenizer.model");
        }
        Random random = new Random(11);
        int refused = 0;
        for (int round = 0; round < 60; round++) {
            byte[] changed = sound.clone();
            for (int i = 0; i < 3; i++) {
                changed[random.nextInt(changed.length)] = (byte) random.nextInt(256);
            }
            Files.write(file, changed);
            try {
                assertThat(FolderTokenizers.open(folder).encode("Hello there", true, true))
                        .isNotEmpty();
            } catch (io.millrace.shared.error.MillraceException e) {
                assertThat(e.code()).isIn("MR-TEXT-002", "MR-TEXT-003");
                refused++;
            }
        }
        assertThat(refused).isPositive();
    }

    @Test
    void tiktokenIsRefusedByName() throws IOException {
        write("qwen.tiktoken", "IQ== 0\nIg== 1\n");
        assertRefused("MR-TEXT-003", "qwen.tiktoken", "tiktoken");
        Files.delete(folder.resolve("qwen.tiktoken"));
        write("tekken.json", "{}");
        assertRefused("MR-TEXT-003", "tekken.json", "tiktoken");
        write("tokenizer.model", "IQ== 0\nIg== 1\nIw== 2\n");
        assertRefused("MR-TEXT-003", "tokenizer.model", "tiktoken");
    }

    @Test
    void vocabularyAndMergesAreCheckedAgainstEachOther() throws IOException {
        write("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<|endoftext|>\": 3}");
        write("merges.txt", "#version: 0.2\na b\n");
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        assertThat(tokenizer.encode("aab<|endoftext|>", true, true)).containsExactly(0, 2, 3);
        assertThat(tokenizer.eosIds()).containsExactly(3);
        write("merges.txt", "a b\na c\n");
        assertRefused("MR-TEXT-002", "merges.txt[1] of 2", "\"a c\"", "\"c\" is no token");
        write("merges.txt", "");
        assertRefused("MR-TEXT-002", "merges.txt, which is missing or empty");
        write("merges.txt", "a b\n");
        write("vocab.json", "{\"a\": 0, \"b\": 0}");
        assertRefused("MR-TEXT-002", "vocab.json", "the same id, 0");
        write("vocab.json", "{\"a\": 0, \"b\": 7}");
        assertRefused("MR-TEXT-002", "the id of \"b\" is 7");
        write("vocab.json", "[");
        assertRefused("MR-TEXT-002", "not JSON");
        write("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
        write("tokenizer_config.json", "{\"tokenizer_class\": \"RobertaTokenizer\"}");
        assertRefused("MR-TEXT-003", "RobertaTokenizer");
        write("tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"y\"}}}");
        assertRefused("MR-TEXT-005", "tokenizer_config.json", "\"x\"");
        write("tokenizer_config.json", "{\"added_tokens_decoder\": {\"2000000000\": {\"content\": \"y\"}}}");
        assertRefused("MR-TEXT-002", "2000000000");
        write("tokenizer_config.json", "{");
        assertRefused("MR-TEXT-005", "tokenizer_config.json", "not JSON");
    }
}
