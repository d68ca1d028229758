package io.millrace.worker.text.gguf;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.Golden;
import io.millrace.worker.text.IncrementalDetokenizer;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.TokenizerGolden;
import java.time.Duration;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class SentencePieceTokenizerTest {

    @ParameterizedTest
    @ValueSource(strings = {"trained-spm-llama", "trained-spm-gemma", "phi3"})
    void agreesWithTheGoldenIdsAndTexts(String name) {
        Tokenizer tokenizer = GgufTokenizers.create(GgufMetadata.read("tokenizers/" + name + "/vocab.gguf"));
        JsonNode cases = Golden.json("tokenizers/" + name + "/cases.json");
        assertThat(tokenizer).isInstanceOf(SentencePieceTokenizer.class);
        assertThat(tokenizer.vocabularySize())
                .isEqualTo(cases.get("vocabulary_size").intValue());
        TokenizerGolden.verify(tokenizer, cases);
        TokenizerGolden.verifyLoneSurrogates(tokenizer);
    }

    @Test
    void longTextsTakeLinearithmicTime() {
        Tokenizer tokenizer = GgufTokenizers.create(GgufMetadata.read("tokenizers/trained-spm-llama/vocab.gguf"));
        String text = "the a aaaa \u4E2D\uD83D\uDC4D ".repeat(20_000);
        int[] ids =
                Assertions.assertTimeoutPreemptively(Duration.ofSeconds(20), () -> tokenizer.encode(text, false, true));
        assertThat(IncrementalDetokenizer.decode(tokenizer, ids, false)).isEqualTo(text);
    }
}
