package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RepackCacheTest {

    private static final int[] PROMPT = new Random(9).ints(40, 0, 190).toArray();

    private static List<float[]> logits(Path model, CpuSettings settings) {
        try (ModelRuntime runtime = CpuModels.load(model, GoldenModels.blocks(16, 128), 2, settings)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(PROMPT);
            runner.step(List.of(new Work(seq, PROMPT.length, true)));
            return List.copyOf(seq.logits);
        }
    }

    private static void assertSame(List<float[]> actual, List<float[]> expected) {
        for (int i = 0; i < expected.size(); i++) {
            assertThat(actual.get(i)).as("row %d", i).isEqualTo(expected.get(i));
        }
    }

    private static Path only(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            List<Path> all = files.toList();
            assertThat(all).hasSize(1);
            return all.getFirst();
        }
    }

    @Test
    void theNextStartTakesWhatWasPackedAndAnswersTheSame(@TempDir Path folder) throws IOException {
        for (String name : List.of("gguf/tiny-llama-mixed.gguf", "models/deepseek_v2-tiny", "quant/awq-g32")) {
            Path cache = folder.resolve(name.replace('/', '-'));
            CpuSettings kept = CpuSettings.DEFAULT.withRepackCache(cache);
            List<float[]> expected = logits(Golden.path(name), CpuSettings.DEFAULT);
            assertSame(logits(Golden.path(name), kept), expected);
            Path file = only(cache);
            FileTime made = FileTime.fromMillis(1_000_000_000_000L);
            Files.setLastModifiedTime(file, made);
            assertSame(logits(Golden.path(name), kept), expected);
            assertThat(Files.getLastModifiedTime(file)).as("not written again").isEqualTo(made);
        }
    }

    @Test
    void aDamagedFileIsMadeAgainWhereverTheDamageIs(@TempDir Path folder) throws IOException {
        Path model = Golden.path("gguf/tiny-llama-mixed.gguf");
        CpuSettings kept = CpuSettings.DEFAULT.withRepackCache(folder);
        List<float[]> expected = logits(model, kept);
        Path file = only(folder);
        byte[] sound = Files.readAllBytes(file);
        for (int at : new int[] {3, 20, 45, 60, sound.length / 2, sound.length - 1}) {
            byte[] damaged = sound.clone();
            damaged[at] ^= 0x10;
            Files.write(file, damaged);
            assertSame(logits(model, kept), expected);
            assertThat(only(folder)).hasBinaryContent(sound);
        }
        for (int length : new int[] {0, 30, sound.length - 5}) {
            Files.write(file, java.util.Arrays.copyOf(sound, length));
            assertSame(logits(model, kept), expected);
            assertThat(only(folder)).hasBinaryContent(sound);
        }
    }

    @Test
    void anotherFileOfTheSameWeightsIsNotTakenForTheFirst(@TempDir Path folder) throws IOException {
        Path model = folder.resolve("model.gguf");
        Files.copy(Golden.path("gguf/tiny-llama-mixed.gguf"), model);
        Path cache = folder.resolve("cache");
        CpuSettings kept = CpuSettings.DEFAULT.withRepackCache(cache);
        logits(model, kept);
        byte[] first = Files.readAllBytes(only(cache));
        Files.setLastModifiedTime(model, FileTime.fromMillis(1_500_000_000_000L));
        logits(model, kept);
        assertThat(Files.readAllBytes(only(cache))).as("made for the new time").isNotEqualTo(first);
    }

    @Test
    void aFolderThatCannotBeUsedIsNamed(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("a-file"), "no folder");
        CpuModels.library();
        assertThatThrownBy(() -> logits(
                        Golden.path("gguf/tiny-llama-mixed.gguf"),
                        CpuSettings.DEFAULT.withRepackCache(file.resolve("cache"))))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-CPU-004"))
                .hasMessageContaining("a-file");
    }
}
