package io.millrace.worker.model.gguf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.GgufEdit;
import io.millrace.worker.model.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models split over several GGUF files. */
class GgufShardsTest {

    private static final Path MODEL = Golden.path("gguf/tiny-llama-f16.gguf");

    @TempDir
    private Path folder;

    private List<Path> parts = List.of();

    @BeforeEach
    void split() throws IOException {
        parts = GgufEdit.split(MODEL, folder, "tiny", 3);
    }

    private MillraceException failure(Path path) {
        return catchThrowableOfType(
                MillraceException.class, () -> GgufFile.openModel(path).close());
    }

    @Test
    void whicheverPartIsNamedTheModelIsWhole() {
        try (GgufFile whole = GgufFile.openModel(MODEL)) {
            for (Path part : parts) {
                try (GgufFile model = GgufFile.openModel(part)) {
                    GgufModelCheck.validate(model);
                    assertThat(model.names()).containsExactlyElementsOf(whole.names());
                    assertThat(model.hash()).isEqualTo(whole.hash());
                    assertThat(model.string("general.architecture")).isEqualTo("llama");
                    assertThat(model.path()).isEqualTo(parts.getFirst());
                    assertThat(model.tensor("output_norm.weight").data().byteSize())
                            .isPositive();
                }
            }
        }
    }

    @Test
    void aPartAloneIsNoModel() {
        try (GgufFile part = GgufFile.open(parts.getFirst())) {
            MillraceException e = catchThrowableOfType(MillraceException.class, () -> GgufModelCheck.validate(part));
            assertThat(e.getMessage()).contains("part 1 of 3");
        }
    }

    @Test
    void aMissingPartIsNamed() throws IOException {
        Files.delete(parts.get(1));
        for (Path part : List.of(parts.get(0), parts.get(2))) {
            MillraceException e = failure(part);
            assertThat(e.code()).isEqualTo("MR-GGUF-008");
            assertThat(e.getMessage()).contains("tiny-00002-of-00003.gguf", folder.toString(), "into one folder");
        }
    }

    @Test
    void aPartUnderAnotherNameOrInAnotherPlaceIsNamed() throws IOException {
        Path renamed = Files.move(parts.get(1), folder.resolve("second.gguf"));
        assertThat(failure(renamed).getMessage()).contains("second.gguf", "split.count", "NAME-00001-of-0000N.gguf");
        Files.move(renamed, parts.get(1));
        Path kept = Files.move(parts.get(1), folder.resolve("x"));
        Files.move(parts.get(2), parts.get(1));
        Files.move(kept, parts.get(2));
        MillraceException e = failure(parts.getFirst());
        assertThat(e.code()).isEqualTo("MR-GGUF-008");
        assertThat(e.getMessage()).contains("tiny-00002-of-00003.gguf", "split.no 2");
    }

    @Test
    void aPartOfAnotherModelIsRefused() throws IOException {
        try (GgufFile second = GgufFile.open(parts.get(1))) {
            Map<String, Object> third = new LinkedHashMap<>(second.metadata());
            third.put("split.no", 2L);
            Path other = folder.resolve("other");
            GgufEdit.write(other, third, List.copyOf(second.tensors()));
            Files.move(other, parts.get(2), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        }
        MillraceException e = failure(parts.getFirst());
        assertThat(e.code()).isEqualTo("MR-GGUF-008");
        assertThat(e.getMessage()).containsAnyOf("which another part holds too", "split.tensors.count");
    }

    @Test
    void aDamagedPartIsNamedAndThePartsAreClosed() throws IOException {
        byte[] bytes = Files.readAllBytes(parts.get(2));
        Files.write(parts.get(2), java.util.Arrays.copyOf(bytes, bytes.length / 2));
        assertThat(failure(parts.getFirst()).getMessage()).contains("tiny-00003-of-00003.gguf");
    }

    @Test
    void namesOfPartsAreReadStrictly() {
        assertThat(ShardName.parse("a/b-00002-of-00003.gguf")).isEqualTo(new ShardName("a/b", 2, 3));
        assertThat(new ShardName("m", 1, 2).names()).containsExactly("m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
        for (String none : List.of("a.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf", "a-1-of-3.gguf")) {
            assertThat(ShardName.parse(none)).as(none).isNull();
        }
    }
}
