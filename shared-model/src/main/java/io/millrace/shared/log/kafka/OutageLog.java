package io.millrace.shared.log.kafka;

import org.apache.kafka.clients.consumer.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Says in plain words, every few seconds, that Kafka does not answer, and once that it is back. Used by one thread. */
final class OutageLog {

    private static final Logger LOG = LoggerFactory.getLogger(OutageLog.class);
    private static final long EVERY_NANOS = 5_000_000_000L;

    private final String name;
    private final String servers;
    private long checked = System.nanoTime();
    private long saidNanos;
    private long sinceNanos;
    private boolean out;

    OutageLog(String name, String servers) {
        this.name = name;
        this.servers = servers;
    }

    /** A call to Kafka failed. */
    void failed(RuntimeException error) {
        say(KafkaLog.rootMessage(error));
    }

    /** Looks every few seconds whether the consumer has a connection. */
    void check(Consumer<?, ?> consumer, boolean idle) {
        if (System.nanoTime() - checked < EVERY_NANOS / 5) {
            return;
        }
        checked = System.nanoTime();
        double connections = consumer.metrics().entrySet().stream()
                .filter(e -> e.getKey().name().equals("connection-count"))
                .mapToDouble(e -> e.getValue().metricValue() instanceof Double d ? d : 1)
                .max()
                .orElse(1);
        if (connections == 0 && !idle) {
            say("no connection");
        } else if (out) {
            LOG.info("reader {}: Kafka at {} is back after {} s", name, servers, seconds());
            out = false;
        }
    }

    private void say(String why) {
        long now = System.nanoTime();
        if (!out) {
            out = true;
            sinceNanos = now;
            saidNanos = now - EVERY_NANOS;
        }
        if (now - saidNanos >= EVERY_NANOS) {
            saidNanos = now;
            LOG.warn("reader {}: Kafka at {} does not answer ({}; for {} s); trying on", name, servers, why, seconds());
        }
    }

    private long seconds() {
        return (System.nanoTime() - sinceNanos) / 1_000_000_000L;
    }
}
