package io.millrace.worker.text;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.gguf.GgufTokenizers;
import io.millrace.worker.text.hub.FolderTokenizers;
import io.millrace.worker.text.hub.HubTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/**
 * Every golden vocabulary from every file that it comes in. The table counts what must agree, so that cases that go missing show: texts
 * encoded (in three ways each), id lists decoded and streamed, tokens of single bytes.
 */
class GoldenTokenizersTest {

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "smollm2, 438, 205, 235",
        "gpt2, 438, 210, 256",
        "qwen2, 438, 210, 256",
        "phi3, 438, 211, 256",
        "trained-llama-bpe, 438, 210, 256",
        "trained-deepseek-llm, 438, 209, 256",
        "trained-deepseek-v3, 438, 209, 256",
        "trained-qwen35, 438, 209, 256",
        "trained-tekken, 438, 210, 256",
        "trained-gpt-4o, 438, 210, 256",
        "trained-spm-llama, 438, 210, 256",
        "trained-spm-gemma, 438, 210, 256",
        "trained-unigram, 438, 228, 0"
    })
    void agreesInBothFormats(String name, int ids, int streams, int bytes) throws IOException {
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        TokenizerGolden.Counts expected = new TokenizerGolden.Counts(ids, streams, bytes);
        Path gguf = Golden.path("tokenizers/" + name + "/vocab.gguf");
        try (GgufFile file = GgufFile.open(gguf)) {
            Tokenizer own = GgufTokenizers.create(gguf.toString(), file.metadata());
            assertThat(own.vocabularySize())
                    .isEqualTo(cases.get("vocabulary_size").intValue());
            assertThat(TokenizerGolden.verify(own, cases)).isEqualTo(expected);
        }
        Files.copy(Golden.path("tokenizers/" + name + "/tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.writeString(
                folder.resolve("generation_config.json"),
                "{\"bos_token_id\": " + cases.get("bos") + ", \"eos_token_id\": [" + cases.get("eos") + "]}");
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        try {
            // Phi-3's GGUF vocabulary is padded, its tokenizer.json is not.
            assertThat(tokenizer.vocabularySize())
                    .isEqualTo(
                            name.equals("phi3")
                                    ? 32_011
                                    : cases.get("vocabulary_size").intValue());
            assertThat(TokenizerGolden.verify(tokenizer, cases)).isEqualTo(expected);
            assertThat(tokenizer instanceof HubTokenizer)
                    .isEqualTo(cases.get("model").stringValue().equals("t5"));
        } finally {
            if (tokenizer instanceof HubTokenizer hub) {
                hub.close();
            }
        }
    }

    /** Folders without tokenizer.json: the sentencepiece file says all but the class and, sometimes, the flags. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "trained-spm-llama, LlamaTokenizer, 438, 210, 256",
        "trained-spm-gemma, GemmaTokenizer, 438, 210, 256",
        "trained-unigram, T5Tokenizer, 438, 228, 0"
    })
    void agreesFromTheSentencePieceFile(String name, String tokenizerClass, int ids, int streams, int bytes)
            throws IOException {
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        Files.copy(Golden.path("tokenizers/" + name + "/spm.model"), folder.resolve("tokenizer.model"));
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"tokenizer_class\": \"" + tokenizerClass + "\"}");
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        assertThat(TokenizerGolden.verify(tokenizer, cases)).isEqualTo(new TokenizerGolden.Counts(ids, streams, bytes));
    }

    /** GPT-2's two files, made from the golden vocabulary. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({"gpt2, GPT2Tokenizer, 438, 210, 256", "qwen2, Qwen2TokenizerFast, 438, 210, 256"})
    void agreesFromVocabularyAndMerges(String name, String tokenizerClass, int ids, int streams, int bytes)
            throws IOException {
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        JsonNode json = Golden.json("tokenizers/" + name + "/tokenizer.json");
        Files.writeString(
                folder.resolve("vocab.json"), json.path("model").path("vocab").toString());
        StringBuilder merges = new StringBuilder("#version: 0.2\n");
        for (JsonNode merge : json.path("model").path("merges")) {
            merges.append(
                            merge.isString()
                                    ? merge.stringValue()
                                    : merge.get(0).stringValue() + " "
                                            + merge.get(1).stringValue())
                    .append('\n');
        }
        Files.writeString(folder.resolve("merges.txt"), merges);
        StringBuilder added = new StringBuilder();
        for (JsonNode token : json.path("added_tokens")) {
            added.append(added.isEmpty() ? "" : ",")
                    .append('"')
                    .append(token.get("id"))
                    .append("\":")
                    .append(token);
        }
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"tokenizer_class\": \"" + tokenizerClass + "\", \"added_tokens_decoder\": {" + added + "}}");
        Files.writeString(folder.resolve("config.json"), "{\"eos_token_id\": " + cases.get("eos") + "}");
        if (!cases.get("bos").isNull()) {
            Files.writeString(folder.resolve("generation_config.json"), "{\"bos_token_id\": " + cases.get("bos") + "}");
        }
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        assertThat(TokenizerGolden.verify(tokenizer, cases)).isEqualTo(new TokenizerGolden.Counts(ids, streams, bytes));
    }
}
