package io.millrace.worker.journal;

import com.google.protobuf.MessageLite;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * Appends for this worker, and knows how long the log has been silent: the worker's lease is its last confirmed append. Never
 * blocks. Thread-safe.
 */
final class JournalWriter {

    private final Log log;
    private final Clock clock;
    private int pending;
    /** When the log last confirmed something, or something first began to wait. */
    private long aliveNanos;

    JournalWriter(Log log, Clock clock) {
        this.log = log;
        this.clock = clock;
        this.aliveNanos = clock.nanos();
    }

    CompletableFuture<Long> journal(int partition, JournalRecord record, TraceContext trace) {
        return append(Topic.RESPONSES, partition, record.getId(), record, trace);
    }

    CompletableFuture<Long> beat(String worker, MessageLite beat) {
        return append(Topic.WORKERS, 0, worker, beat, TraceContext.getDefaultInstance());
    }

    private CompletableFuture<Long> append(
            Topic topic, int partition, String key, MessageLite message, TraceContext trace) {
        synchronized (this) {
            if (pending++ == 0) {
                aliveNanos = clock.nanos();
            }
        }
        CompletableFuture<Long> ack = log.append(topic, partition, key, message.toByteArray(), trace);
        return ack.whenComplete((offset, error) -> settled(error == null));
    }

    private synchronized void settled(boolean confirmed) {
        pending--;
        if (confirmed) {
            aliveNanos = clock.nanos();
        }
    }

    /** Appends wait and none has been confirmed for that long: others may take this worker for dead. */
    synchronized boolean silentFor(Duration lease) {
        return pending > 0 && clock.nanos() - aliveNanos > lease.toNanos();
    }
}
