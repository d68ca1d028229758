package io.millrace.worker.model.decoder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.StepProgram;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/** Config against checkpoint, and the program that comes of them. */
class DecoderTest {

    private static Decoder decoder(String family, String key, int value) {
        Path folder = Golden.path("models/" + family + "-tiny");
        ObjectNode json = (ObjectNode) Golden.json("models/" + family + "-tiny/config.json");
        if (!key.isEmpty()) {
            json.put(key, value);
        }
        try (WeightSource source = SafetensorsFolder.open(folder)) {
            return Decoder.of(DecoderConfig.fromJson("config.json", json.toString()), source);
        }
    }

    @Test
    void aLayerIsTwelveOps() {
        Decoder decoder = decoder("smollm", "", 0);
        StepProgram program = decoder.program();
        List<String> codes = program.ops().stream().map(op -> op.code().name()).toList();
        assertThat(codes.subList(0, 13))
                .containsExactly(
                        "EMBED",
                        "RMS_NORM",
                        "LINEAR",
                        "ROPE",
                        "ROPE",
                        "KV_WRITE",
                        "ATTENTION",
                        "LINEAR",
                        "ADD",
                        "RMS_NORM",
                        "LINEAR",
                        "GATED",
                        "LINEAR");
        assertThat(codes.subList(codes.size() - 4, codes.size()))
                .containsExactly("GATHER_ROWS", "RMS_NORM", "LOGITS", "SAMPLE");
        assertThat(StepProgram.decode(program.encode())).isEqualTo(program);
    }

    @Test
    void aTiedModelUsesItsEmbeddingTwice() {
        StepProgram program = decoder("smollm", "", 0).program();
        Op.Embed embed = (Op.Embed) program.ops().getFirst();
        Op.Logits logits = (Op.Logits) program.ops().get(program.ops().size() - 2);
        assertThat(logits.weight()).isEqualTo(embed.table());
        assertThat(decoder("llama", "", 0).slots()).containsKey("lm_head");
    }

    @ParameterizedTest
    @CsvSource({
        "hidden_size, 56, model.embed_tokens.weight",
        "intermediate_size, 161, model.layers.0.mlp.gate_proj.weight",
        "num_hidden_layers, 4, model.layers.3.input_layernorm.weight",
        "num_key_value_heads, 2, model.layers.0.self_attn.k_proj.weight",
        "vocab_size, 385, model.embed_tokens.weight",
        "head_dim, 32, model.layers.0.self_attn.q_proj.weight",
    })
    void aContradictionNamesFileTensorAndRemedy(String key, int value, String tensor) {
        assertThatThrownBy(() -> decoder("llama", key, value))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-MODEL-003"))
                .hasMessageContaining("config.json: tensor " + tensor)
                .hasMessageContaining("from");
    }

    @ParameterizedTest
    @ValueSource(strings = {"dims-zero", "vocabulary-too-short", "zero-heads", "huge-block-count"})
    void aSoundContainerThatIsNoModelIsRefused(String name) {
        try (GgufFile file = GgufFile.open(Golden.path("gguf/bad/" + name + ".gguf"))) {
            assertThatThrownBy(() -> Decoder.of(DecoderConfig.fromGguf(name, file.metadata()), file))
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).startsWith("MR-MODEL-"))
                    .hasMessageStartingWith(name + ": ");
        }
    }
}
