package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.Golden;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How the check's process can end otherwise than with an answer, and what is told of that. */
class GpuCheckProcessTest {

    private static Supplier<GpuAnswer> check(String machine, String model) {
        Path cuda = EmulatedCuda.library();
        Optional<Path> cpu = KernelLibrary.find();
        Assumptions.assumeTrue(cpu.isPresent(), "SKIPPED, the native kernels are not built");
        var process = new GpuCheckProcess(Map.of("EMULATED_CUDA_MACHINE", machine), Duration.ofMinutes(2));
        return () -> process.check(cuda, cpu.get(), model, ModelOptions.DEFAULT);
    }

    private static String refusal(GpuAnswer answer) {
        return Objects.requireNonNull(answer.refusal()).toString();
    }

    private static String refusal(String trouble, int status, String... lines) {
        return refusal(GpuCheckProcess.answer(List.of(lines), trouble, status, 1));
    }

    @Test
    void anInterruptEndsTheLoadAndSaysNothingOfTheChip() {
        Supplier<GpuAnswer> check = check("hangs", "");
        Thread.currentThread().interrupt();
        try {
            assertThatThrownBy(check::get)
                    .hasMessage("Interrupted while the GPU was checked.")
                    .hasCauseInstanceOf(InterruptedException.class);
            assertThat(Thread.currentThread().isInterrupted()).isTrue();
        } finally {
            Thread.interrupted();
        }
    }

    @Test
    void aSignalIsNoFaultOfTheChip() throws Exception {
        CompletableFuture<GpuAnswer> answer = CompletableFuture.supplyAsync(
                check("hangs", ""), task -> Thread.ofPlatform().daemon(true).start(task));
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!answer.isDone() && System.nanoTime() < end && checks().isEmpty()) {
            Thread.onSpinWait();
        }
        checks().forEach(ProcessHandle::destroy);
        assertThat(refusal(answer.get(60, TimeUnit.SECONDS)))
                .contains("The check of the GPU was ended by a signal (status 143), so nothing is known of the GPU")
                .doesNotContain("report");
    }

    private static List<ProcessHandle> checks() {
        return ProcessHandle.current()
                .children()
                .filter(child -> child.info().commandLine().orElse("").contains("-XX:+SuppressFatalErrorMessage"))
                .toList();
    }

    @ParameterizedTest
    @ValueSource(ints = {129, 130, 137, 143})
    void signalsFromOutsideAreToldAsThat(int status) {
        assertThat(refusal("", status, GpuCheckMain.PASSED + "chip\tall is well"))
                .contains("ended by a signal (status " + status + ")");
    }

    @Test
    void aCrashIsToldAsOne() {
        assertThat(refusal("", 139))
                .contains("The GPU failed its check: its process ended with status 139. Look", "please report it");
    }

    /** A model that makes no tokens is never checked: asked for all the same it is what nobody foresaw. */
    @Test
    void whatNobodyForesawIsNamed() {
        assertThat(refusal(
                        check("", Golden.path("encoders/bert-tiny").toString()).get()))
                .startsWith("[MR-CUDA-005] The check itself failed: ClassCastException: ")
                .endsWith("please report it.");
    }

    @Test
    void ofForeignWordsThoseThatNameTheErrorAreTold() {
        String frame = "    at io.millrace.Some.where(Some.java:1)".repeat(20);
        assertThat(refusal("", 1, "Starting", "Exception in thread main: no room", frame))
                .contains("(Exception in thread main: no room)");
        assertThat(refusal("", 1, "Exception in thread main: wrapped", frame, "Caused by: an empty disk", frame))
                .contains("(Caused by: an empty disk)");
        assertThat(refusal("", 1, "a line", "the last words")).contains("(a line the last words)");
    }
}
