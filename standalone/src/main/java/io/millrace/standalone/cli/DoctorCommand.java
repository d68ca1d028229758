package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.hub.HubSettings;
import io.millrace.worker.serving.GpuReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code millrace doctor}: what this machine has, and what is wrong with it. */
@Command(
        name = "doctor",
        description = "Says what was found: JDK, Maven, compiler, CUDA, instruction sets, memory, disk, ports.")
final class DoctorCommand implements Callable<Integer> {

    private static final List<String> ISA = List.of(
            "avx2",
            "fma",
            "f16c",
            "avx_vnni",
            "avx512f",
            "avx512bw",
            "avx512_vnni",
            "avx512_bf16",
            "amx_int8",
            "neon",
            "asimd",
            "asimddp",
            "i8mm",
            "bf16",
            "sve");
    private static final long MEMORY_BYTES_MIN = 2L << 30;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    private boolean healthy = true;

    /** 0 when nothing is missing that {@code up} needs, else 1. */
    @Override
    public Integer call() {
        line(
                "JDK",
                Runtime.version().feature() >= 25,
                Runtime.version() + " at " + System.getProperty("java.home"),
                "");
        line("Maven", onPath("mvn"), first("mvn", "-v"), "only building needs it");
        optional("C++ compiler", first("c++", "--version"));
        kernels();
        gpu();
        optional("CUDA compiler", first("nvcc", "--version"));
        optional(
                "NVIDIA GPU",
                first("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"));
        optional("Python (pip)", first("pip", "--version"));
        line(
                "Processor",
                true,
                Runtime.getRuntime().availableProcessors() + " cores, " + System.getProperty("os.arch"),
                "");
        optional("Instruction sets", instructionSets());
        memory();
        Path cache = HubSettings.fromEnvironment(System.getenv()).cache();
        line("Model cache", writable(cache), cache + ", " + free(cache) + " MiB free", "set MILLRACE_CACHE");
        Path data = Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."), ".millrace")
                .toAbsolutePath();
        line("Data folder", writable(data), data + ", " + free(data) + " MiB free", "give --data-dir");
        port("Gateway's port", 8080, "--port");
        port("Broker's port", 9092, "--kafka-port");
        return healthy ? 0 : 1;
    }

    /** The native kernels: their instruction set, or why there are none. */
    private void kernels() {
        String found;
        try {
            found = KernelLibrary.find().map(KernelLibrary::describe).orElseGet(DoctorCommand::whyNoKernels);
        } catch (MillraceException e) {
            found = "not usable, the torch engine serves: " + e.getMessage();
        }
        found("CPU kernels", found);
    }

    /** The CUDA kernels: chip and driver, and whether they compute what they should there, or why they do not run; and what will run models where nothing is said. */
    private void gpu() {
        try {
            GpuReport report = GpuReport.make();
            found("CUDA kernels", report.kernels());
            if (!report.check().isEmpty()) {
                found("GPU check", report.check());
            }
            found("Engine", report.engine());
        } catch (MillraceException e) {
            found("Engine", "not to be chosen: " + e.getMessage());
        }
    }

    private void found(String what, String found) {
        spec.commandLine().getOut().printf("%-4s %-17s %s%n", found.startsWith("not ") ? "-" : "ok", what, found);
    }

    private static String whyNoKernels() {
        Path reason = Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."), "kernels", "build", "failed");
        String why = "./millrace build makes them with a C++20 compiler";
        try {
            if (Files.isRegularFile(reason)) {
                why = Files.readString(reason, StandardCharsets.UTF_8).strip();
            }
        } catch (IOException e) {
            why = reason + " cannot be read";
        }
        return "not built, the torch engine serves: " + why;
    }

    private void memory() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long total = system.getTotalMemorySize();
        line(
                "Memory",
                total >= MEMORY_BYTES_MIN,
                "%,d MiB, %,d free; this JVM's heap may grow to %,d"
                        .formatted(
                                total >> 20,
                                system.getFreeMemorySize() >> 20,
                                Runtime.getRuntime().maxMemory() >> 20),
                "2,048 MiB are the least");
    }

    private void port(String what, int port, String flag) {
        boolean free;
        try (ServerSocket probe = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
            free = probe.isBound();
        } catch (IOException taken) {
            free = false;
        }
        line(
                what,
                true,
                port + (free ? " is free" : " is taken (is Millrace running?); choose another with " + flag),
                "");
    }

    private void line(String what, boolean good, String found, String remedy) {
        healthy &= good;
        PrintWriter out = spec.commandLine().getOut();
        out.printf(
                "%-4s %-17s %s%s%n",
                good ? "ok" : "BAD", what, found, good || remedy.isEmpty() ? "" : " (" + remedy + ")");
        out.flush();
    }

    private void optional(String what, String found) {
        spec.commandLine()
                .getOut()
                .printf(
                        "%-4s %-17s %s%n",
                        found.isEmpty() ? "-" : "ok", what, found.isEmpty() ? "none (not needed)" : found);
    }

    private static boolean onPath(String program) {
        return Stream.of(System.getenv().getOrDefault("PATH", "").split(java.io.File.pathSeparator))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }

    /** First line that the program prints (the last for nvcc, which names its release there); empty when there is none. */
    private static String first(String... command) {
        if (!onPath(command[0])) {
            return "";
        }
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getOutputStream().close();
            List<String> lines = process.inputReader(StandardCharsets.UTF_8)
                    .lines()
                    .map(l -> l.replaceAll("\\e\\[[0-9;]*m", "")) // Maven prints its name in bold
                    .filter(l -> !l.isBlank() && !l.startsWith("WARNING"))
                    .toList();
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                return "";
            }
            return lines.isEmpty() || process.exitValue() != 0
                    ? ""
                    : command[0].equals("nvcc") ? lines.getLast() : lines.getFirst();
        } catch (IOException | UncheckedIOException e) {
            return "";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }

    private static String instructionSets() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/cpuinfo"), StandardCharsets.UTF_8)) {
            List<String> flags = lines.filter(l -> l.startsWith("flags") || l.startsWith("Features"))
                    .findFirst()
                    .map(l -> List.of(l.substring(l.indexOf(':') + 1).strip().split(" ")))
                    .orElse(List.of());
            return ISA.stream().filter(flags::contains).collect(Collectors.joining(" "));
        } catch (IOException | UncheckedIOException noLinux) {
            return "";
        }
    }

    private static Path existing(Path folder) {
        Path path = folder;
        while (path.getParent() != null && !Files.exists(path)) {
            path = path.getParent();
        }
        return path;
    }

    private static boolean writable(Path folder) {
        return Files.isWritable(existing(folder));
    }

    private static String free(Path folder) {
        try {
            return "%,d".formatted(Files.getFileStore(existing(folder)).getUsableSpace() >> 20);
        } catch (IOException e) {
            return "?";
        }
    }
}
