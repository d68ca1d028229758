package io.millrace.gateway.trace;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Cursor;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.trace.RequestTrace;
import java.net.URI;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

/** Traces for the console. A few at a time are read from the log, the others refused. Thread-safe. */
public final class Traces implements AutoCloseable {

    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final int READS_MAX = 2;

    private final @Nullable JaegerTraces jaeger;
    private final RequestTrace journal;
    private final Semaphore reads = new Semaphore(READS_MAX);

    /** @param jaeger address of its query API; null where there is none */
    public Traces(Log log, @Nullable URI jaeger) {
        this.jaeger = jaeger == null ? null : new JaegerTraces(jaeger);
        this.journal = new RequestTrace(log, PATIENCE);
    }

    /**
     * The trace from Jaeger, else the request's journal.
     *
     * @param trace 32 hex digits
     * @param request id of the answer; null where the client has none yet
     * @param cursor an event id of its stream, so that the log need not be read from its beginning; null for none
     * @return ApiException 404 where neither knows it, 503 when too many are read from the log
     */
    public Mono<Waterfall> of(String trace, @Nullable RequestId request, @Nullable Cursor cursor) {
        if (jaeger == null) {
            return fromJournal(request, cursor, "");
        }
        return Mono.fromFuture(() -> jaeger.of(trace))
                .flatMap(found ->
                        found.lines().isEmpty() ? fromJournal(request, cursor, found.why()) : Mono.just(found));
    }

    private Mono<Waterfall> fromJournal(@Nullable RequestId request, @Nullable Cursor cursor, String why) {
        if (request == null) {
            return Mono.error(unknown(why.isEmpty() ? "No request is named, and no Jaeger is configured" : why));
        }
        return Mono.fromCallable(() -> read(request, cursor, why)).subscribeOn(Schedulers.boundedElastic());
    }

    private Waterfall read(RequestId request, @Nullable Cursor cursor, String why) throws InterruptedException {
        if (!reads.tryAcquire()) {
            throw new ApiException(ApiError.of(
                    503,
                    "too_many_scans",
                    null,
                    "[MR-GW-022] " + READS_MAX + " traces are read from the log already. Try again in a moment."));
        }
        try {
            long req = cursor == null ? LogReader.BEGINNING : cursor.req();
            long begin = cursor == null ? LogReader.BEGINNING : cursor.begin();
            Waterfall told = JournalStory.read(journal.story(request, req, begin));
            return new Waterfall(told.source(), told.complete(), why, told.lines());
        } catch (MillraceException e) {
            throw e.code().equals("MR-TRACE-002")
                    ? unknown(e.toString())
                    : new ApiException(ApiError.of(503, "trace_unreadable", null, e.toString()));
        } finally {
            reads.release();
        }
    }

    private static ApiException unknown(String why) {
        return new ApiException(ApiError.of(404, "trace_not_found", null, "There is no such trace. " + why));
    }

    @Override
    public void close() {
        if (jaeger != null) {
            jaeger.close();
        }
    }
}
