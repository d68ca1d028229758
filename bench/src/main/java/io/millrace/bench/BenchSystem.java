package io.millrace.bench;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/** A broker in this process and the parts on it, for one measurement: what it has written is deleted when it is closed. */
final class BenchSystem implements AutoCloseable {

    private final Path data;
    private final EmbeddedBroker broker;
    private final Deque<PartsApplication> started = new ArrayDeque<>();

    private BenchSystem(Path data, EmbeddedBroker broker) {
        this.data = data;
        this.broker = broker;
    }

    /** Starts the broker. */
    static BenchSystem start() throws IOException {
        Path data = Files.createTempDirectory("millrace-bench");
        try {
            return new BenchSystem(data, EmbeddedBroker.start(BrokerSettings.local(data.resolve("kafka"), 0)));
        } catch (RuntimeException failed) {
            delete(data);
            throw failed;
        }
    }

    /** Starts parts on a port of their own, one after the other's start, and waits until they are ready. They end with the system. */
    PartsApplication add(Set<Role> roles, Map<String, Object> flags) {
        Map<String, Object> all = new HashMap<>(flags);
        all.put("server.port", 0);
        all.put("millrace.kafka.bootstrap-servers", bootstrap());
        PartsApplication parts =
                PartsApplication.start(roles, all, Map.of(), CompletableFuture.completedFuture(null), line -> {});
        started.push(parts);
        for (Part part : parts.parts()) {
            part.started().join();
        }
        return parts;
    }

    /** Where a client finds the gateway among those parts. */
    static String url(PartsApplication parts) {
        return "http://127.0.0.1:" + parts.port();
    }

    String bootstrap() {
        return broker.bootstrap();
    }

    /** The folder of everything that it writes. */
    Path data() {
        return data;
    }

    /** Ends the parts, the last first, then the broker. */
    @Override
    public void close() throws IOException {
        try (broker) {
            while (!started.isEmpty()) {
                started.pop().close();
            }
        } finally {
            delete(data);
        }
    }

    /** Deletes a folder and what is in it. */
    static void delete(Path folder) throws IOException {
        try (Stream<Path> tree = Files.walk(folder)) {
            for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
