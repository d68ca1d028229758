package io.millrace.standalone.fuzz;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import io.netty.util.ResourceLeakDetector;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.LoggerFactory;

/** What must be as before once all clients have gone: connections, requests under way, and a log without errors and leaked buffers. */
public final class LeakWatch extends AppenderBase<ILoggingEvent> implements AutoCloseable {

    private static final Pattern GAUGE = Pattern.compile(
            "(?m)^(millrace_(?:gateway_requests_followed|gateway_scans_running|gateway_scans_waiting|router_requests_open"
                    + "|router_requests_queued|num_requests_running|num_requests_waiting|kv_cache_blocks_used))(?:\\{[^}]*})? (\\S+)$");
    private static final Path CONNECTIONS = Path.of("/proc/self/net/tcp6");
    private static final Path OLD_CONNECTIONS = Path.of("/proc/self/net/tcp");
    private static final String LISTENING = "0A";
    private static final String WAITING = "06";

    private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    private final Queue<String> errors = new ConcurrentLinkedQueue<>();
    private final ResourceLeakDetector.Level before = ResourceLeakDetector.getLevel();
    private final int port;

    /** Listens to the log, and has every buffer of Netty watched. */
    public LeakWatch(int port) {
        this.port = port;
        ResourceLeakDetector.setLevel(ResourceLeakDetector.Level.PARANOID);
        start();
        root.addAppender(this);
    }

    @Override
    protected void append(ILoggingEvent event) {
        if (event.getLevel() == Level.ERROR) {
            String stack =
                    event.getThrowableProxy() == null ? "" : ThrowableProxyUtil.asString(event.getThrowableProxy());
            errors.add(event.getLoggerName() + ": " + event.getFormattedMessage() + "\n" + stack);
        }
    }

    /** All that was said at ERROR, leaks among it. */
    public List<String> errors() {
        return List.copyOf(errors);
    }

    /** Connections to the server's port that are not closed at its end; -1 where the system does not say. */
    public long connections() throws IOException {
        if (!Files.exists(OLD_CONNECTIONS)) {
            return -1;
        }
        String local = ":%04X".formatted(port);
        List<String> lines = new ArrayList<>(Files.readAllLines(OLD_CONNECTIONS));
        if (Files.exists(CONNECTIONS)) {
            lines.addAll(Files.readAllLines(CONNECTIONS));
        }
        return lines.stream()
                .map(line -> line.strip().split("\\s+"))
                .filter(parts -> parts.length > 3 && parts[1].endsWith(local))
                .filter(parts -> !parts[3].equals(LISTENING) && !parts[3].equals(WAITING))
                .count();
    }

    /** What is under way, by name; only what is not 0. */
    public Map<String, Double> underWay() throws IOException {
        Map<String, Double> all = new TreeMap<>();
        try (Wire wire = new Wire(port)) {
            wire.send("GET /actuator/prometheus HTTP/1.1\r\nHost: x\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            Wire.Answer answer = wire.answer(true, false);
            Matcher gauges = GAUGE.matcher(answer == null ? "" : answer.body());
            while (gauges.find()) {
                all.merge(gauges.group(1), Double.parseDouble(gauges.group(2)), Double::sum);
            }
        }
        if (all.isEmpty()) {
            throw new IOException("the metrics have none of these gauges");
        }
        all.values().removeIf(value -> value == 0);
        return all;
    }

    /** Bytes in use when all that can be collected is. */
    public static long heap() {
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    @Override
    public void close() {
        root.detachAppender(this);
        stop();
        ResourceLeakDetector.setLevel(before);
    }
}
