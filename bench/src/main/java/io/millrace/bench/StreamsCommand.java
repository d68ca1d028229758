package io.millrace.bench;

import com.sun.management.UnixOperatingSystemMXBean;
import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.Main;
import io.millrace.standalone.parts.Role;
import io.millrace.standalone.process.Children;
import io.millrace.standalone.process.ProgramProcesses;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeoutException;
import org.HdrHistogram.Histogram;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench streams}: thousands of streams open at one gateway, a process of its own. What the gateway adds to each event, from
 * the broker's append of its record until the client has read it, and how much of its heap a stream takes. The broker, a router, the
 * workers with the mock model and the client are in this process.
 */
@Command(
        name = "streams",
        description =
                "Thousands of open streams at one gateway: what it adds to each event, and its heap for each stream.",
        sortOptions = false)
final class StreamsCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final int PARTITIONS = 16;
    private static final int FILES_SPARE = 1_000;
    private static final long READY_S_MAX = 120;
    private static final long OPEN_S_SPARE = 30;
    private static final int ANSWER_TOKENS = 2_000;

    @Option(names = "--streams", defaultValue = "10000", description = "Open at a time (default ${DEFAULT-VALUE}).")
    private int streams;

    @Option(
            names = "--events-per-s",
            defaultValue = "10000",
            description = "Of all streams together (default ${DEFAULT-VALUE}).")
    private int eventsPerS;

    @Option(names = "--workers", defaultValue = "10", description = "Mock workers (default ${DEFAULT-VALUE}).")
    private int workers;

    @Option(
            names = "--open-per-s",
            defaultValue = "500",
            description = "Streams that are opened in a second (default ${DEFAULT-VALUE}).")
    private double openPerS;

    @Option(names = "--seconds", defaultValue = "15", description = "Measured (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--heap", defaultValue = "1g", description = "Of the gateway, at most (default ${DEFAULT-VALUE}).")
    private String heap = "";

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws IOException, InterruptedException, TimeoutException {
        checkFiles(streams + FILES_SPARE);
        try (BenchSystem system = BenchSystem.start();
                ProgramProcesses processes = new ProgramProcesses(system.data(), Main.class.getName())) {
            system.add(EnumSet.of(Role.ROUTER, Role.WORKER), flags());
            Process gateway = processes.start("gateway", gatewayJvm(), gatewayArguments(system.bootstrap()));
            processes.awaitOutput("gateway", Children.READY, READY_S_MAX);
            return measure(gateway, address(processes.output("gateway")), system.bootstrap());
        }
    }

    /** Each stream is a file, here and at the gateway. */
    private static void checkFiles(int needed) {
        if (ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix
                && unix.getMaxFileDescriptorCount() < needed) {
            throw new MillraceException(
                    "MR-BENCH-008",
                    "So many streams need %,d open files in each process, %,d are allowed. Allow more ('ulimit -n %d'), or take fewer '--streams'."
                            .formatted(needed, unix.getMaxFileDescriptorCount(), needed));
        }
    }

    private Map<String, Object> flags() {
        int each = (streams + workers - 1) / workers;
        long stepMs = Math.max(1, 1_000L * streams / eventsPerS);
        return Map.of(
                "millrace.kafka.partitions",
                PARTITIONS,
                "millrace.worker.count",
                workers,
                "millrace.worker.models[0]",
                MODEL,
                "millrace.worker.engine",
                "mock",
                "millrace.worker.mock-step",
                stepMs + "ms",
                "millrace.worker.max-running",
                each + each / 4 + 8,
                "millrace.worker.step-tokens",
                4 * each + 4_096,
                "millrace.worker.kv-memory",
                "16MB");
    }

    private List<String> gatewayJvm() {
        return List.of(
                "-XX:TieredStopAtLevel=4",
                "-XX:-UseSerialGC",
                "-XX:+UseG1GC",
                "-Xmx" + heap,
                "-XX:MaxDirectMemorySize=1g");
    }

    private List<String> gatewayArguments(String bootstrap) {
        return List.of(
                "gateway",
                "--kafka",
                bootstrap,
                "--port",
                "0",
                "--set",
                "millrace.kafka.partitions=" + PARTITIONS,
                Children.CHILD_FLAG);
    }

    private static InetSocketAddress address(Path output) throws IOException {
        String ready = Files.readAllLines(output).stream()
                .filter(line -> line.startsWith(Children.READY))
                .findFirst()
                .orElseThrow();
        return new InetSocketAddress(
                "127.0.0.1",
                URI.create(ready.substring(Children.READY.length()).strip()).getPort());
    }

    private String body(int number) {
        return "{\"model\":\"" + MODEL + "\",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":" + ANSWER_TOKENS
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"Stream " + number + "\"}]}";
    }

    private Integer measure(Process gateway, InetSocketAddress address, String bootstrap)
            throws IOException, InterruptedException {
        PrintWriter print = output.print();
        try (AppendTimes appended = new AppendTimes(bootstrap, PARTITIONS);
                ManyStreams client = new ManyStreams(address, this::body)) {
            int warm = Math.max(1, Math.min(100, streams / 10));
            client.open(warm, openPerS, OPEN_S_SPARE);
            long before = liveHeap(gateway);
            long began = System.nanoTime();
            client.open(streams - warm, openPerS, (long) (streams / openPerS) + OPEN_S_SPARE);
            double openS = (System.nanoTime() - began) / 1e9;
            long after = liveHeap(gateway);
            long cpuBefore = cpuMs(gateway);
            // What waited while the heap was counted.
            client.run(3_000);
            client.run(1_000L * seconds);
            double cores = (cpuMs(gateway) - cpuBefore) / 1e3 / (seconds + 3);
            double heapKb = (after - before) / 1024.0 / Math.max(1, client.speaking() - warm);
            return report(print, client, appended, openS, heapKb, cores);
        }
    }

    private static long cpuMs(Process process) {
        return process.info()
                .totalCpuDuration()
                .map(java.time.Duration::toMillis)
                .orElse(0L);
    }

    /** Bytes of the gateway's heap that are in use after a full collection, by {@code jcmd}. */
    private static long liveHeap(Process gateway) throws IOException, InterruptedException {
        Process jcmd = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                        String.valueOf(gateway.pid()),
                        "GC.class_histogram")
                .redirectErrorStream(true)
                .start();
        List<String> lines = new String(jcmd.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .lines()
                .toList();
        jcmd.waitFor();
        String total = lines.stream()
                .filter(line -> line.startsWith("Total"))
                .findFirst()
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-009", "jcmd could not count the gateway's heap: " + String.join(" ", lines)));
        return Long.parseLong(total.strip().split("\\s+")[2]);
    }

    private Integer report(
            PrintWriter print, ManyStreams client, AppendTimes appended, double openS, double heapKb, double cores) {
        Histogram addedMs = new Histogram(600_000, 3);
        long unknown = 0;
        for (int i = 0; i < client.arrivals(); i++) {
            long at = appended.of(client.partition(i), client.offset(i));
            if (at == 0) {
                unknown++;
            } else {
                addedMs.recordValue(Math.max(0, client.arrivedMs(i) - at));
            }
        }
        double perS = client.arrivals() / (double) seconds;
        int faults =
                client.faults().values().stream().mapToInt(Integer::intValue).sum();
        print.printf(
                "%,d of %,d streams open after %.1f s, %d ended early %s; %,.0f events a second%n",
                client.speaking(), streams, openS, faults, client.faults(), perS);
        print.printf(
                "added to an event: p50 %d ms, p90 %d ms, p99 %d ms, at most %d ms; heap %.1f KB a stream; the gateway took %.2f cores%n",
                addedMs.getValueAtPercentile(50),
                addedMs.getValueAtPercentile(90),
                addedMs.getValueAtPercentile(99),
                addedMs.getMaxValue(),
                heapKb,
                cores);
        ObjectNode all = new Results()
                .object()
                .put("bench", "streams")
                .put("streams", streams)
                .put("workers", workers)
                .put("open", client.speaking())
                .put("open_s", openS)
                .put("ended_early", faults)
                .put("seconds", seconds)
                .put("events_per_s", perS)
                .put("added_p50_ms", addedMs.getValueAtPercentile(50))
                .put("added_p90_ms", addedMs.getValueAtPercentile(90))
                .put("added_p99_ms", addedMs.getValueAtPercentile(99))
                .put("added_max_ms", addedMs.getMaxValue())
                .put("events_of_unknown_time", unknown)
                .put("heap_kb_a_stream", heapKb)
                .put("gateway_cores", cores);
        output.write("streams", all);
        return faults == 0 && client.speaking() == streams && unknown == 0 ? 0 : 1;
    }
}
