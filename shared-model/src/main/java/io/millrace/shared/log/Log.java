package io.millrace.shared.log;

import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The durable log as the protocol sees it: partitions of topics, appended to and read in order.
 *
 * <p>Two implementations: Kafka's, and the simulation's in virtual time. Thread-safe.
 */
public interface Log extends AutoCloseable {

    /**
     * Appends one record; never blocks the caller for the network.
     *
     * <p>Appends of one caller to one partition land in the order of the calls, or fail from one on. The future completes
     * with the record's offset once it is committed (all in-sync replicas), or exceptionally when it is not known to be;
     * then it may or may not stand in the log.
     *
     * @param value null writes a tombstone
     * @param trace what the record belongs to: it becomes the record's W3C headers; empty: it belongs to no request
     */
    CompletableFuture<Long> append(Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace);

    /** Appends a record that belongs to no trace. */
    default CompletableFuture<Long> append(Topic topic, int partition, String key, byte @Nullable [] value) {
        return append(topic, partition, key, value, TraceContext.getDefaultInstance());
    }

    /** Number of partitions of the topic. */
    int partitions(Topic topic);

    /**
     * A reader with a thread of its own: everything it delivers, and everything given to {@link LogReader#execute}, runs
     * on that one thread.
     */
    LogReader reader(String name, LogReader.Listener listener);

    @Override
    void close();
}
