package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** A log that may be given away before Kafka is there: whoever asks for its partitions waits at the gate. Thread-safe. */
final class GatedLog implements Log {

    private final KafkaGate gate;
    private final Log log;

    GatedLog(KafkaGate gate, Log log) {
        this.gate = gate;
        this.log = log;
    }

    @Override
    public CompletableFuture<Long> append(
            Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace) {
        return log.append(topic, partition, key, value, trace);
    }

    @Override
    public int partitions(Topic topic) {
        try {
            gate.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-LOG-004", "interrupted while waiting for Kafka", e);
        }
        return log.partitions(topic);
    }

    @Override
    public LogReader reader(String name, LogReader.Listener listener) {
        return log.reader(name, listener);
    }

    @Override
    public void close() {
        log.close();
    }
}
