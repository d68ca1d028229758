package io.millrace.worker.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The binding against a library of the same functions that the test builds, so that it needs no processor of NVIDIA's. */
class GpuMetricsTest {

    @TempDir
    Path dir;

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

    private String build() throws IOException, InterruptedException {
        Path source = dir.resolve("fake_nvml.c");
        try (InputStream in = Objects.requireNonNull(getClass().getResourceAsStream("/gpu/fake_nvml.c"))) {
            Files.copy(in, source);
        }
        Path library = dir.resolve("libfake-nvml.so");
        try {
            Process cc = new ProcessBuilder("cc", "-shared", "-fPIC", "-o", library.toString(), source.toString())
                    .inheritIO()
                    .start();
            assertThat(cc.waitFor()).isZero();
        } catch (IOException absent) {
            abort("no C compiler 'cc' on this machine: " + absent.getMessage());
        }
        return library.toString();
    }

    private double value(String name, String gpu) {
        return registry.get(name).tag("gpu", gpu).gauge().value();
    }

    @Test
    void eachProcessorHasItsGauges() throws Exception {
        try (GpuMetrics metrics = GpuMetrics.register(registry, build())) {
            assertThat(metrics).isNotNull();
            assertThat(value("millrace.gpu.utilization", "0")).isEqualTo(0.37);
            assertThat(value("millrace.gpu.utilization", "1")).isEqualTo(0.38);
            assertThat(value("millrace.gpu.memory.total.bytes", "0")).isEqualTo(80.0 * (1L << 30));
            assertThat(value("millrace.gpu.memory.used.bytes", "1")).isEqualTo(20.0 * (1L << 30) + 1);
            assertThat(value("millrace.gpu.power.watts", "0")).isEqualTo(123.456);
            assertThat(value("millrace.gpu.power.watts", "1")).isNaN();
            assertThat(value("millrace.gpu.temperature.celsius", "0")).isEqualTo(61);
            assertThat(registry.get("millrace.gpu.utilization")
                            .tag("name", "Fake 1")
                            .tag("uuid", "GPU-1")
                            .gauge())
                    .isNotNull();
        }
    }

    @Test
    void withoutTheLibraryThereAreNone() {
        try (GpuMetrics metrics =
                GpuMetrics.register(registry, dir.resolve("absent.so").toString())) {
            assertThat(metrics).isNotNull();
            assertThat(registry.getMeters()).isEmpty();
        }
    }
}
