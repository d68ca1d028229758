package io.millrace.worker.journal;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Reads single requests from {@code requests}: those too large to stand in their assignment. One at a time, in order. Thread-safe; futures
 * complete on the reader's thread.
 */
final class BodyReader implements AutoCloseable, LogReader.Listener {

    private static final long TIMEOUT_NANOS = 10_000_000_000L;

    private record Wanted(int partition, long offset, CompletableFuture<Submit> future) {}

    private final Clock clock;
    private final ArrayDeque<Wanted> queue = new ArrayDeque<>();
    private final LogReader reader;
    private @Nullable Wanted now;
    private long sinceNanos;

    BodyReader(Log log, String name, Clock clock) {
        this.clock = clock;
        this.reader = log.reader(name + "-bodies", this);
    }

    /** The Submit at that offset; fails when it is gone, is none, or Kafka does not give it within 10 s. */
    CompletableFuture<Submit> read(int partition, long offset) {
        var wanted = new Wanted(partition, offset, new CompletableFuture<>());
        reader.execute(() -> {
            queue.add(wanted);
            next();
        });
        return wanted.future();
    }

    private void next() {
        if (now == null) {
            now = queue.poll();
            if (now != null) {
                sinceNanos = clock.nanos();
                reader.assign(Topic.REQUESTS, now.partition(), now.offset());
            }
        }
    }

    private void done() {
        Wanted last = now;
        now = null;
        if (last != null) {
            reader.unassign(Topic.REQUESTS, last.partition());
        }
        next();
    }

    @Override
    public void onRecord(LogRecord record) {
        Wanted wanted = now;
        if (wanted == null || record.partition() != wanted.partition() || record.offset() < wanted.offset()) {
            return;
        }
        try {
            byte[] value = record.value();
            RequestRecord parsed = record.offset() == wanted.offset() && value != null
                    ? RequestRecord.parseFrom(value)
                    : RequestRecord.getDefaultInstance();
            if (parsed.hasSubmit()) {
                wanted.future().complete(parsed.getSubmit());
            } else {
                fail(wanted, "there is no request any more");
            }
        } catch (InvalidProtocolBufferException e) {
            fail(wanted, e.getMessage());
        }
        done();
    }

    @Override
    public void onTick() {
        Wanted wanted = now;
        if (wanted != null && clock.nanos() - sinceNanos > TIMEOUT_NANOS) {
            fail(wanted, "Kafka did not give it within 10 s");
            done();
        }
    }

    @Override
    public boolean isPunctual() {
        return false;
    }

    private static void fail(Wanted wanted, @Nullable String why) {
        wanted.future()
                .completeExceptionally(new MillraceException(
                        "MR-WRK-003",
                        "request at offset %d of partition %d of %s: %s"
                                .formatted(wanted.offset(), wanted.partition(), Topic.REQUESTS.baseName(), why)));
    }

    @Override
    public void close() {
        reader.close();
    }
}
