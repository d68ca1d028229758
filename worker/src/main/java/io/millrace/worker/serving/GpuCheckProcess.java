package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.check.CudaCheck;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Checks the GPU in a process of its own, which a kernel that faults or never ends cannot outlive and whose hold on the device ends with it. Stateless.
 *
 * @param environment that its process has besides ours
 * @param limit after which it is ended; kernels are compiled within it where the library has no code for the chip
 */
record GpuCheckProcess(Map<String, String> environment, Duration limit) {

    private static final Logger LOG = LoggerFactory.getLogger(GpuCheckProcess.class);

    static final GpuCheckProcess DEFAULT = new GpuCheckProcess(Map.of(), Duration.ofSeconds(120));

    private static final Duration LONG = Duration.ofSeconds(10);

    /** Of our own flags those that it starts faster with, or not without. */
    private static final List<String> INHERITED = List.of(
            "-XX:AOTCache=", "-Xlog:aot", "-Xlog:cds", "--enable-native-access", "--sun-misc-unsafe-memory-access");

    private static final List<String> FLAGS = List.of(
            "-Xmx1g",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-XX:+SuppressFatalErrorMessage",
            "-Dslf4j.provider=org.slf4j.helpers.NOP_FallbackServiceProvider",
            "-Dslf4j.internal.verbosity=ERROR");

    private static final int LAST_WORDS = 300;

    /**
     * Blocks until it has ended.
     *
     * @param cuda library of the CUDA kernels
     * @param cpu library of the kernels to compare with
     * @param model its files; empty: a plain one
     * @param options how it is to be served
     */
    GpuAnswer check(Path cuda, Path cpu, String model, ModelOptions options) {
        long began = System.nanoTime();
        List<String> lines = new ArrayList<>();
        String trouble = "";
        try {
            Process process = start(cuda, cpu, model, options);
            Thread reader =
                    Thread.ofPlatform().daemon(true).name("millrace-gpu-check").start(() -> read(process, lines));
            try {
                if (!await(process)) {
                    trouble = "it did not end within " + limit.toSeconds() + " s";
                } else if (process.exitValue() != 0) {
                    trouble = "its process ended with status " + process.exitValue();
                }
            } finally {
                process.destroyForcibly();
            }
            reader.join(LONG);
        } catch (IOException e) {
            trouble = "its process cannot be started (" + e.getMessage() + ")";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            trouble = "it was interrupted";
        }
        long millis = (System.nanoTime() - began) / 1_000_000;
        synchronized (lines) {
            return answer(List.copyOf(lines), trouble, millis);
        }
    }

    private Process start(Path cuda, Path cpu, String model, ModelOptions options) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(flag -> INHERITED.stream().anyMatch(flag::startsWith))
                .forEach(command::add);
        command.addAll(FLAGS);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), GpuCheckMain.class.getName()));
        command.addAll(GpuCheckOptions.write(model, options));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        // Agents and ports in them are for one process.
        builder.environment().keySet().removeAll(List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"));
        builder.environment().put("MILLRACE_CUDA_KERNELS", cuda.toAbsolutePath().toString());
        builder.environment().put("MILLRACE_KERNELS", cpu.toAbsolutePath().toString());
        builder.environment().putAll(environment);
        return builder.start();
    }

    private boolean await(Process process) throws InterruptedException {
        Duration first = limit.compareTo(LONG) < 0 ? limit : LONG;
        if (process.waitFor(first.toNanos(), TimeUnit.NANOSECONDS)) {
            return true;
        }
        Duration rest = limit.minus(first);
        if (rest.isPositive()) {
            LOG.info(
                    "The check of the GPU takes longer than {} s, as the first on a chip for which its kernels are compiled does; it is waited for {} s more.",
                    first.toSeconds(),
                    rest.toSeconds());
        }
        return process.waitFor(rest.toNanos(), TimeUnit.NANOSECONDS);
    }

    private static void read(Process process, List<String> lines) {
        try (var reader = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                synchronized (lines) {
                    lines.add(line);
                }
            }
        } catch (IOException | UncheckedIOException e) {
            // It was ended; what it has said is there.
        }
    }

    private static GpuAnswer answer(List<String> lines, String trouble, long millis) {
        for (String line : lines) {
            if (line.startsWith(GpuCheckMain.PASSED) && trouble.isEmpty()) {
                String[] fields = line.substring(GpuCheckMain.PASSED.length()).split("\t", -1);
                return new GpuAnswer(fields[0], fields[1], null, millis);
            }
            if (line.startsWith(GpuCheckMain.REFUSED)) {
                String[] fields = line.substring(GpuCheckMain.REFUSED.length()).split("\t", -1);
                return new GpuAnswer(fields[1], "", new MillraceException(fields[0], fields[2]), millis);
            }
        }
        String words = String.join(" ", lines);
        String last = words.substring(Math.max(0, words.length() - LAST_WORDS)).strip();
        return new GpuAnswer(
                "",
                "",
                new MillraceException(
                        CudaCheck.FAILED,
                        "The GPU failed its check: " + (trouble.isEmpty() ? "it said nothing" : trouble)
                                + (last.isEmpty() ? "" : " (" + last + ")")
                                + ". Look at nvidia-smi and dmesg; if the chip is sound this is a fault of our kernels, please report it."),
                millis);
    }
}
