package io.millrace.worker.model.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(20)
class SafetensorsFolderTest {

    static List<String> badFiles() {
        return StreamSupport.stream(
                        Golden.json("safetensors/bad/README.json").get("cases").spliterator(), false)
                .filter(c -> c.get("expect").asString().equals("reject"))
                .map(c -> c.get("file").asString())
                .toList();
    }

    @ParameterizedTest
    @MethodSource("badFiles")
    void every_lie_is_a_coded_error_that_names_the_file(String name) {
        Path path = Golden.path("safetensors/bad/" + name);
        MillraceException e = catchThrowableOfType(MillraceException.class, () -> SafetensorsFolder.open(path));
        assertThat(e).isNotNull();
        assertThat(e.code()).matches("MR-ST-\\d{3}");
        assertThat(e.getMessage()).contains(path.getFileName().toString());
    }

    @Test
    void there_are_29_bad_files_and_a_control() {
        assertThat(badFiles()).hasSize(29);
        try (SafetensorsFolder good = SafetensorsFolder.open(Golden.path("safetensors/bad/good.safetensors"))) {
            assertThat(good.names()).containsExactly("a", "b");
            assertThat(good.tensor("a").shape()).containsExactly(4, 4);
            assertThat(good.tensor("a").dtype()).isEqualTo(DType.F32);
            assertThat(Dequantizer.all(good.tensor("b"))).hasSize(16);
            assertThatThrownBy(() -> good.tensor("c")).hasMessageContaining("no tensor c");
        }
    }

    @Test
    void the_hash_does_not_depend_on_how_tensors_are_spread_over_files(@TempDir Path temp) throws IOException {
        Path one = Files.createDirectory(temp.resolve("one"));
        Path two = Files.createDirectory(temp.resolve("two"));
        write(one.resolve("model.safetensors"), new byte[] {1, 2, 3, 4}, "a", "b");
        write(two.resolve("x.safetensors"), new byte[] {1, 2}, "a");
        write(two.resolve("y.safetensors"), new byte[] {3, 4}, "b");
        Files.writeString(
                two.resolve("model.safetensors.index.json"),
                "{\"weight_map\": {\"b\": \"y.safetensors\", \"a\": \"x.safetensors\"}}");
        long hash;
        try (SafetensorsFolder folder = SafetensorsFolder.open(one)) {
            hash = folder.hash();
        }
        try (SafetensorsFolder folder = SafetensorsFolder.open(two)) {
            assertThat(folder.hash()).isEqualTo(hash);
            assertThat(Dequantizer.all(folder.tensor("b"))).containsExactly(3f, 4f);
        }
        write(two.resolve("y.safetensors"), new byte[] {3, 5}, "b");
        try (SafetensorsFolder folder = SafetensorsFolder.open(two)) {
            assertThat(folder.hash()).isNotEqualTo(hash);
        }
    }

    /** Tensors of two U8 values each. */
    private static void write(Path path, byte[] data, String... names) throws IOException {
        StringBuilder json = new StringBuilder("{");
        for (int i = 0; i < names.length; i++) {
            json.append(i == 0 ? "" : ",")
                    .append("\"%s\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[%d,%d]}"
                            .formatted(names[i], 2 * i, 2 * i + 2));
        }
        byte[] header = json.append("}").toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate(8 + header.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        file.putLong(header.length).put(header).put(data);
        Files.write(path, file.array());
    }

    @Test
    void a_folder_without_weights_says_so(@TempDir Path temp) {
        assertThat(catchThrowableOfType(MillraceException.class, () -> SafetensorsFolder.open(temp))
                        .code())
                .isEqualTo("MR-ST-001");
    }
}
