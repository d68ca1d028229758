package io.millrace.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * What this process holds at a moment.
 *
 * @param second since the load began
 * @param heapBytes in use after a collection
 * @param files open file handles beside those of the broker's log; -1 where the system does not list them
 * @param underWay sums of the metrics that say what is under way, by name
 */
record SoakSample(long second, long heapBytes, long files, int threads, Map<String, Double> underWay) {

    static final String BLOCKS = "millrace_kv_cache_blocks_used";
    private static final Path HANDLES = Path.of("/proc/self/fd");
    private static final Pattern GAUGE = Pattern.compile(
            "(?m)^(millrace_(?:gateway_requests_followed|gateway_scans_running|gateway_scans_waiting|router_requests_open"
                    + "|router_requests_queued|num_requests_running|num_requests_waiting|kv_cache_blocks_used))(?:\\{[^}]*})? (\\S+)$");

    /**
     * Collects what can be collected, and looks.
     *
     * @param log folder of the embedded broker, whose files grow in number with what it keeps
     */
    static SoakSample take(long second, HttpClient http, URI metrics, Path log) throws InterruptedException {
        System.gc();
        long heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
        int threads = ManagementFactory.getThreadMXBean().getThreadCount();
        try {
            String text = PrometheusText.read(http, metrics).text();
            return new SoakSample(second, heap, files(log), threads, underWay(text));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Of Prometheus' text. */
    static Map<String, Double> underWay(String metrics) {
        Map<String, Double> all = new TreeMap<>();
        Matcher gauges = GAUGE.matcher(metrics);
        while (gauges.find()) {
            all.merge(gauges.group(1), Double.parseDouble(gauges.group(2)), Double::sum);
        }
        return all;
    }

    private static long files(Path log) throws IOException {
        if (!Files.isDirectory(HANDLES)) {
            return -1;
        }
        String own = log.toAbsolutePath().toString();
        try (Stream<Path> handles = Files.list(HANDLES)) {
            return handles.filter(each -> !target(each).startsWith(own)).count();
        }
    }

    private static String target(Path handle) {
        try {
            return Files.readSymbolicLink(handle).toString();
        } catch (IOException closedMeanwhile) {
            return "";
        }
    }

    double gauge(String name) {
        return underWay.getOrDefault(name, 0.0);
    }

    /** Whether nothing is. */
    boolean idle() {
        return !underWay.isEmpty() && underWay.values().stream().allMatch(value -> value == 0);
    }
}
