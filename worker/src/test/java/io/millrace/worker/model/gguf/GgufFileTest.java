package io.millrace.worker.model.gguf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.weights.DType;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(20)
class GgufFileTest {

    static List<String> badFiles() {
        return StreamSupport.stream(
                        Golden.json("gguf/bad/README.json").get("cases").spliterator(), false)
                .map(c -> c.get("file").asString() + " " + c.get("expect").asString())
                .toList();
    }

    @ParameterizedTest
    @MethodSource("badFiles")
    void every_lie_is_a_coded_error_that_names_the_file(String fileAndVerdict) {
        String name = fileAndVerdict.substring(0, fileAndVerdict.indexOf(' '));
        String verdict = fileAndVerdict.substring(fileAndVerdict.indexOf(' ') + 1);
        Path path = Golden.path("gguf/bad/" + name);
        switch (verdict) {
            case "accept" -> {
                try (GgufFile file = GgufFile.open(path)) {
                    GgufModelCheck.validate(file);
                    assertThat(file.names()).isNotEmpty();
                }
            }
            case "reject" ->
                assertRefused(catchThrowableOfType(MillraceException.class, () -> GgufFile.open(path)), name);
            case "reject-as-model" -> {
                try (GgufFile file = GgufFile.open(path)) {
                    assertRefused(
                            catchThrowableOfType(MillraceException.class, () -> GgufModelCheck.validate(file)), name);
                }
            }
            default -> throw new AssertionError(verdict);
        }
    }

    private static void assertRefused(MillraceException e, String name) {
        assertThat(e).isNotNull();
        assertThat(e.code()).matches("MR-GGUF-\\d{3}");
        assertThat(e.getMessage()).contains(name).containsAnyOf("gain", "current tool", "get the model", "Get");
    }

    @Test
    void there_are_35_bad_files() {
        assertThat(badFiles()).hasSize(35);
    }

    @Test
    void an_unknown_tensor_type_is_named_with_its_number() {
        assertThatThrownBy(() -> GgufFile.open(Golden.path("gguf/bad/unknown-type.gguf")))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("199");
        assertThatThrownBy(() -> GgufFile.open(Golden.path("gguf/bad/removed-type.gguf")))
                .hasMessageContaining("4 (Q4_2");
    }

    @Test
    void metadata_and_tensors_of_a_complete_model_are_read_in_order() {
        try (GgufFile file = GgufFile.open(Golden.path("gguf/tiny-llama-mixed.gguf"))) {
            GgufModelCheck.validate(file);
            assertThat(file.version()).isEqualTo(3);
            assertThat(file.string("general.architecture")).isEqualTo("llama");
            assertThat(file.metadata().keySet())
                    .contains("tokenizer.chat_template")
                    .first()
                    .isEqualTo("general.architecture");
            List<String> tokens = file.strings("tokenizer.ggml.tokens");
            assertThat(file.ints("tokenizer.ggml.token_type")).hasSize(tokens.size());
            long[] shape = file.tensor("token_embd.weight").shape();
            assertThat(shape[0]).isEqualTo(tokens.size());
            assertThat(shape[1]).isEqualTo(file.integer("llama.embedding_length"));
            assertThat(file.tensors()).extracting(t -> t.dtype()).contains(DType.Q2_K, DType.IQ4_XS, DType.Q8_0);
            assertThat(file.real("llama.attention.layer_norm_rms_epsilon")).isPositive();
        }
    }

    @Test
    void a_missing_key_a_wrong_kind_and_a_missing_tensor_are_named() {
        try (GgufFile file = GgufFile.open(Golden.path("gguf/bad/good.gguf"))) {
            assertThatThrownBy(() -> file.string("no.such.key"))
                    .hasMessageContaining("no.such.key")
                    .hasMessageContaining("good.gguf");
            assertThatThrownBy(() -> file.integer("general.architecture")).hasMessageContaining("an integer");
            assertThatThrownBy(() -> file.tensor("blk.0.none")).hasMessageContaining("blk.0.none");
            assertThat(file.integer("no.such.key", 7)).isEqualTo(7);
        }
    }

    @Test
    void a_missing_file_and_a_folder_are_coded_errors(@org.junit.jupiter.api.io.TempDir Path folder) {
        assertThat(catchThrowableOfType(MillraceException.class, () -> GgufFile.open(folder.resolve("no.gguf")))
                        .code())
                .isEqualTo("MR-WEIGHTS-001");
        assertThat(catchThrowableOfType(MillraceException.class, () -> GgufFile.open(folder))
                        .code())
                .isEqualTo("MR-WEIGHTS-001");
    }
}
