package io.millrace.worker.text;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.gguf.GgufTokenizers;
import io.millrace.worker.text.hub.FolderTokenizers;
import io.millrace.worker.text.hub.HubTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Texts without words: what takes quadratic time would not end at these lengths. */
class LongTextsTest {

    private static final List<String> UNITS =
            List.of("a", " ", "\n", "1", "=", "\u4E2D", "\u0301", "\uD83D\uDC4D", "Aa", " \n", "'S");

    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "trained-llama-bpe",
                "trained-deepseek-llm",
                "trained-gpt-4o",
                "trained-spm-llama",
                "trained-spm-gemma",
                "trained-unigram"
            })
    void oneRepeatedCharacterIsTokenizedInEveryKind(String name) throws IOException {
        verify(name, 100_000, UNITS);
    }

    /** Ten megabytes each. */
    @Tag("long")
    @ParameterizedTest
    @ValueSource(strings = {"trained-llama-bpe", "trained-deepseek-llm", "trained-spm-llama", "trained-unigram"})
    void tenMegabytesAreTokenizedInEveryKind(String name) throws IOException {
        verify(name, 10_000_000, List.of("a", " "));
    }

    private void verify(String name, int length, List<String> units) throws IOException {
        Path gguf = Golden.path("tokenizers/" + name + "/vocab.gguf");
        try (GgufFile file = GgufFile.open(gguf)) {
            verify(GgufTokenizers.create(name, file.metadata()), length, units);
        }
        Files.copy(Golden.path("tokenizers/" + name + "/tokenizer.json"), folder.resolve("tokenizer.json"));
        Tokenizer tokenizer = FolderTokenizers.open(folder);
        if (tokenizer instanceof HubTokenizer hub) {
            verify(hub, Math.min(length, 1_000_000), units);
            hub.close();
        } else {
            verify(tokenizer, length, units);
        }
    }

    private static void verify(Tokenizer tokenizer, int length, List<String> units) {
        for (String unit : units) {
            String text = unit.repeat(length / unit.length());
            int[] ids = tokenizer.encode(text, false, true);
            // Unigram normalizes: spaces vanish, and what it does not know is one token.
            if (tokenizer.id("<unk>") < 0 || tokenizer.id("<0x0A>") >= 0) {
                assertThat(IncrementalDetokenizer.decode(tokenizer, ids, false).equals(text))
                        .as(unit)
                        .isTrue();
            } else {
                assertThat(ids.length).as(unit).isLessThanOrEqualTo(length + 1);
            }
        }
    }
}
