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
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
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

    /** Agents and ports in them are for one process. */
    private static final List<String> NOT_FOR_IT = List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS");

    /** Statuses of a process that SIGHUP, SIGINT, SIGKILL or SIGTERM ended: nothing that a kernel does. */
    private static final Set<Integer> ENDED_FROM_OUTSIDE = Set.of(129, 130, 137, 143);

    private static final int WORDS = 300;
    private static final Pattern ERROR = Pattern.compile("(?i)error|exception|fatal|terminate called");

    /**
     * Blocks until it has ended; MR-CUDA-005 when this thread is interrupted.
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
        int status = 0;
        try {
            Process process = start(cuda, cpu, model, options);
            Thread reader =
                    Thread.ofPlatform().daemon(true).name("millrace-gpu-check").start(() -> read(process, lines));
            try {
                if (!await(process)) {
                    trouble = "it did not end within " + limit.toSeconds() + " s";
                } else {
                    status = process.exitValue();
                }
            } finally {
                process.destroyForcibly();
            }
            reader.join(LONG);
        } catch (IOException e) {
            trouble = "its process cannot be started (" + e.getMessage() + ")";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException(CudaCheck.FAILED, "Interrupted while the GPU was checked.", e);
        }
        long millis = (System.nanoTime() - began) / 1_000_000;
        synchronized (lines) {
            return answer(List.copyOf(lines), trouble, status, millis);
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
        builder.environment().keySet().removeAll(NOT_FOR_IT);
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

    /**
     * What it has found.
     *
     * @param trouble with its process, for people; empty: none
     * @param status with which it ended by itself, or 0
     */
    static GpuAnswer answer(List<String> lines, String trouble, int status, long millis) {
        for (String line : lines) {
            if (line.startsWith(GpuCheckMain.PASSED) && trouble.isEmpty() && status == 0) {
                String[] fields = line.substring(GpuCheckMain.PASSED.length()).split("\t", -1);
                return new GpuAnswer(fields[0], fields[1], null, millis);
            }
            if (line.startsWith(GpuCheckMain.REFUSED)) {
                String[] fields = line.substring(GpuCheckMain.REFUSED.length()).split("\t", -1);
                return new GpuAnswer(fields[1], "", new MillraceException(fields[0], fields[2]), millis);
            }
        }
        return new GpuAnswer(
                "", "", new MillraceException(CudaCheck.FAILED, why(telling(lines), trouble, status)), millis);
    }

    private static String why(String words, String trouble, int status) {
        if (ENDED_FROM_OUTSIDE.contains(status)) {
            return "The check of the GPU was ended by a signal (status " + status
                    + "), so nothing is known of the GPU. Load the model again; if nobody sent it, look into dmesg whether memory was short.";
        }
        String what = trouble;
        if (what.isEmpty()) {
            what = status == 0 ? "it said nothing" : "its process ended with status " + status;
        }
        return "The GPU failed its check: " + what + (words.isEmpty() ? "" : " (" + words + ")")
                + ". Look at nvidia-smi and dmesg; if the chip is sound this is a fault of our kernels, please report it.";
    }

    /** Of what it said the line that names the error, else the last words. */
    private static String telling(List<String> lines) {
        Optional<String> cause =
                lines.stream().filter(line -> line.startsWith("Caused by: ")).reduce((one, next) -> next);
        Optional<String> error = cause.or(
                () -> lines.stream().filter(line -> ERROR.matcher(line).find()).findFirst());
        if (error.isPresent()) {
            String line = error.get().strip();
            return line.substring(0, Math.min(WORDS, line.length()));
        }
        String all = String.join(" ", lines);
        return all.substring(Math.max(0, all.length() - WORDS)).strip();
    }
}
