package io.millrace.gateway.node;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Cursor;
import io.millrace.gateway.stream.Frames;
import io.millrace.gateway.stream.Renderer;
import io.millrace.gateway.stream.StoredAnswer;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.DeleteRequest;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Calls that were made earlier, here or at any gateway: finds them by their id, or by a cursor, and follows them from their
 * journal's beginning. Thread-safe; never blocks.
 */
public final class Resumes {

    private final Log log;
    private final JournalHub hub;
    private final LogScans scans;
    private final JournalScans journals;
    private final Leaves leaves;
    private final NodeSettings settings;
    private final Clock clock;

    /**
     * A call as the log has it.
     *
     * @param resultPosition one above the offset of its result; 0: none, or not known
     */
    public record Found(Call call, long begin, long resultPosition) {}

    Resumes(Log log, JournalHub hub, LogScans scans, Leaves leaves, NodeSettings settings, Clock clock) {
        this.log = log;
        this.hub = hub;
        this.scans = scans;
        this.journals = new JournalScans(scans, hub);
        this.leaves = leaves;
        this.settings = settings;
        this.clock = clock;
    }

    /**
     * The tenant's call of that id, as the router knows it; fails with {@link ApiException}.
     *
     * @param trace of whoever asks
     */
    public CompletableFuture<Found> find(RequestId id, String tenant, TraceContext trace) {
        return new Locator(log, hub, id, tenant, trace, settings.appendTimeout())
                .ask()
                .thenCompose(place -> parts(id, place.req())
                        .thenApply(call -> new Found(call, place.begin(), place.resultPosition()))
                        .exceptionallyCompose(failure ->
                                missing(failure) ? fromResult(id, place) : CompletableFuture.failedFuture(failure)))
                .thenApply(found -> checked(found, id, tenant));
    }

    /** The tenant's call of that id, at the place that the cursor names; fails with {@link ApiException}. */
    public CompletableFuture<Found> find(RequestId id, String tenant, Cursor cursor) {
        return parts(id, cursor.req())
                .thenApply(call -> checked(new Found(call, cursor.begin(), 0), id, tenant))
                .exceptionallyCompose(failure -> CompletableFuture.failedFuture(
                        missing(failure) ? new ApiException(GatewayErrors.noSuchAnswer(id.text())) : failure));
    }

    private static boolean missing(Throwable failure) {
        Throwable cause = failure instanceof CompletionException ? failure.getCause() : failure;
        return cause instanceof Lookup.MissingException;
    }

    private static Found checked(Found found, RequestId id, String tenant) {
        if (!found.call().first().getTenant().equals(tenant)) {
            throw new ApiException(GatewayErrors.noSuchAnswer(id.text()));
        }
        return found;
    }

    private CompletableFuture<Found> fromResult(RequestId id, Locator.Place place) {
        return result(id, place.resultPosition())
                .thenApply(result -> {
                    var part = new Call.Part(id, result.getSubmit());
                    return new Found(new Call(List.of(part)), place.begin(), place.resultPosition());
                })
                .exceptionallyCompose(failure -> CompletableFuture.failedFuture(
                        missing(failure) ? new ApiException(GatewayErrors.gone()) : failure));
    }

    /** The result at that position; fails as missing when there is none that tells the answer. */
    private CompletableFuture<Result> result(RequestId id, long position) {
        if (position == 0) {
            return CompletableFuture.failedFuture(new Lookup.MissingException());
        }
        return new Lookup<>(Topic.RESULTS, id.partition(), position - 1, record -> whole(record, id)).in(scans);
    }

    private static Result whole(LogRecord record, RequestId id) {
        byte[] value = record.value();
        try {
            Result result = value == null ? Result.getDefaultInstance() : Result.parseFrom(value);
            if (result.getId().equals(id.text()) && result.getSubmit().getStore()) {
                return result;
            }
        } catch (InvalidProtocolBufferException malformed) {
            // As if it were not there.
        }
        throw new Lookup.MissingException();
    }

    /** Reads the requests of a call: the first stands at that offset, those of further prompts behind it. */
    private CompletableFuture<Call> parts(RequestId id, long req) {
        return new Lookup<>(Topic.REQUESTS, id.partition(), req, new Parts(id, req)).in(scans);
    }

    private static final class Parts implements Function<LogRecord, @Nullable Call> {

        private final RequestId id;
        private final long req;
        private final TreeMap<Integer, Call.Part> parts = new TreeMap<>();
        private int wanted = 1;

        Parts(RequestId id, long req) {
            this.id = id;
            this.req = req;
        }

        @Override
        public @Nullable Call apply(LogRecord record) {
            byte[] value = record.value();
            if (parts.isEmpty() && (record.offset() != req || !record.key().equals(id.text()))) {
                throw new Lookup.MissingException();
            }
            if (value == null) {
                return null;
            }
            RequestId next = parts.isEmpty() ? id : Call.sibling(id, parts.size());
            try {
                if (record.key().equals(next.text())) {
                    RequestRecord request = RequestRecord.parseFrom(value);
                    if (request.hasSubmit()) {
                        Submit submit = request.getSubmit();
                        wanted = Math.max(1, submit.getShape().getPrompts());
                        parts.put(parts.size(), new Call.Part(next, submit));
                    }
                }
            } catch (InvalidProtocolBufferException malformed) {
                return null;
            }
            return parts.size() == wanted ? new Call(List.copyOf(parts.values())) : null;
        }
    }

    /**
     * Follows the call for a client.
     *
     * @param call as it is to be rendered
     * @param attach whether the client reads it to its end, so that it is not taken for abandoned
     */
    public <T> Exchange<T> follow(
            Found found,
            Call call,
            Renderer renderer,
            Frames<T> frames,
            Exchange.Mode mode,
            boolean attach,
            CallObserver observer) {
        var line = new Line(log, hub, leaves, settings.node(), call);
        line.borrow();
        var exchange = new Exchange<T>(call, frames, settings, clock, hub, line, mode, renderer, observer);
        Follower follower = follower(call, exchange, line, found.begin(), found.resultPosition());
        line.subscribe(follower);
        CompletableFuture<Void> ready = hub.use(call.partition());
        ready.thenRun(() -> hub.execute(() -> {
            if (!exchange.closed()) {
                if (attach) {
                    line.attach();
                }
                follower.begin();
            }
        }));
        return exchange;
    }

    /** Lets a call that turned out to be an earlier one's go on with that one's answer. */
    void follow(Call call, Exchange<?> exchange, Line line, long begin, long resultPosition) {
        Follower follower = follower(call, exchange, line, begin, resultPosition);
        line.borrow();
        line.subscribe(follower);
        line.attach();
        follower.begin();
    }

    private Follower follower(Call call, Exchange<?> exchange, Line line, long begin, long resultPosition) {
        return new Follower(
                call,
                exchange,
                hub,
                journals,
                line,
                begin,
                settings.lagBytesMax() / 2,
                () -> lost(call, exchange, resultPosition));
    }

    /** The journal is gone: what it came to may stand in the results. */
    private void lost(Call call, Exchange<?> exchange, long resultPosition) {
        if (call.shape().getStream() || call.parts().size() > 1) {
            exchange.fail(GatewayErrors.gone());
            return;
        }
        result(call.id(), resultPosition)
                .whenComplete((result, failure) -> hub.execute(() -> {
                    if (failure == null) {
                        exchange.replay(StoredAnswer.records(result));
                    } else {
                        exchange.fail(GatewayErrors.gone());
                    }
                }));
    }

    /** Cancels it; completes when that stands in the log. */
    public CompletableFuture<Void> cancel(Found found, String cause, TraceContext trace) {
        Submit submit = found.call().first();
        return append(
                found,
                RequestRecord.newBuilder()
                        .setCancel(CancelRequest.newBuilder()
                                .setTenant(submit.getTenant())
                                .setCause(cause)
                                .setTrace(trace)),
                trace);
    }

    /** Deletes its result, and cancels it while it runs; completes when that stands in the log. */
    public CompletableFuture<Void> delete(Found found, TraceContext trace) {
        Submit submit = found.call().first();
        return append(
                found,
                RequestRecord.newBuilder()
                        .setDelete(DeleteRequest.newBuilder()
                                .setTenant(submit.getTenant())
                                .setTrace(trace)),
                trace);
    }

    private CompletableFuture<Void> append(Found found, RequestRecord.Builder record, TraceContext trace) {
        RequestId id = found.call().id();
        long startMs = clock.wallMs();
        return log.append(
                        Topic.REQUESTS,
                        id.partition(),
                        id.text(),
                        record.setId(id.text()).build().toByteArray(),
                        trace)
                .handle((offset, failure) -> {
                    if (failure != null) {
                        throw new ApiException(GatewayErrors.logUnavailable(clock.wallMs() - startMs));
                    }
                    return null;
                });
    }
}
