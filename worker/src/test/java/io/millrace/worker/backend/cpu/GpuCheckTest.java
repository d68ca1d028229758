package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** {@code kernels/gpu-check} as an unpacked pack has it, with a program in place of the benchmarks. */
@EnabledOnOs(OS.LINUX)
class GpuCheckTest {

    @TempDir
    Path pack;

    private String run(int status, String says, int expected) throws IOException, InterruptedException {
        Path kernels = Files.createDirectories(pack.resolve("kernels"));
        Path programs = Files.createDirectories(kernels.resolve("build/gpu"));
        Path check = Files.copy(Path.of("../kernels/gpu-check"), kernels.resolve("gpu-check"));
        Path bench = Files.writeString(
                programs.resolve("bench"),
                "#!/bin/sh\n[ \"$1\" = library ] && exec echo loads\necho '" + says + "' >&2\nexit " + status + "\n");
        Files.setPosixFilePermissions(bench, PosixFilePermissions.fromString("rwx------"));
        Path output = pack.resolve("output");
        Process process = new ProcessBuilder("bash", check.toString())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
            String said = Files.readString(output, StandardCharsets.UTF_8);
            assertThat(process.exitValue()).as(said).isEqualTo(expected);
            assertThat(pack.resolve("bench/results")).doesNotExist();
            return said;
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void aMachineWithoutAGpuIsNoFailureOfTheKernels() throws Exception {
        assertThat(run(2, "no NVIDIA driver", 2)).contains("No GPU: no NVIDIA driver");
    }

    @Test
    void kernelsThatFailAreNotTakenForAMachineWithoutAGpu() throws Exception {
        assertThat(run(1, "running kernels: unspecified launch failure", 1))
                .contains("unspecified launch failure", "The device fails")
                .doesNotContain("No GPU");
    }
}
