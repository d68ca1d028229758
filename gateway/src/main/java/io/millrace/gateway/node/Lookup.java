package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Reads a few records from a known offset on.
 *
 * @param <T> what they come to
 */
final class Lookup<T> implements LogScans.Scan {

    /** Records behind the first one among which the rest is looked for. */
    private static final int RECORDS_MAX = 20_000;

    private final Topic topic;
    private final int partition;
    private final long from;
    private final Function<LogRecord, @Nullable T> take;
    private final CompletableFuture<T> found = new CompletableFuture<>();
    private int seen;

    /** @param take gets each record until it gives what was looked for, or throws {@link MissingException} */
    Lookup(Topic topic, int partition, long from, Function<LogRecord, @Nullable T> take) {
        this.topic = topic;
        this.partition = partition;
        this.from = from;
        this.take = take;
    }

    /** What was found; fails with {@link MissingException} when it is not there, or with 503. */
    CompletableFuture<T> in(LogScans scans) {
        if (!scans.submit(this)) {
            found.completeExceptionally(new ApiException(GatewayErrors.tooManyResumes()));
        }
        return found;
    }

    /** It is not, or no longer, in the log. */
    static final class MissingException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        MissingException() {
            super(null, null, false, false);
        }
    }

    @Override
    public Topic topic() {
        return topic;
    }

    @Override
    public int partition() {
        return partition;
    }

    @Override
    public long from() {
        return from;
    }

    @Override
    public void record(LogRecord record) {
        if (found.isDone()) {
            return;
        }
        try {
            T result = take.apply(record);
            if (result != null) {
                found.complete(result);
            } else if (++seen > RECORDS_MAX) {
                lost();
            }
        } catch (MissingException missing) {
            lost();
        }
    }

    @Override
    public boolean round(long position, boolean caughtUp) {
        if (caughtUp) {
            lost();
        }
        return !found.isDone();
    }

    @Override
    public void lost() {
        found.completeExceptionally(new MissingException());
    }

    @Override
    public void closed() {
        found.completeExceptionally(new ApiException(GatewayErrors.shuttingDown()));
    }
}
