package io.millrace.gateway.node;

import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Frames;
import io.millrace.gateway.stream.Renderer;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings calls into the log: first the journal's position, then the append, so that no record of the answer is missed.
 * Thread-safe; never blocks.
 */
public final class Dispatcher {

    private static final Logger LOG = LoggerFactory.getLogger(Dispatcher.class);

    private final Log log;
    private final JournalHub hub;
    private final NodeSettings settings;
    private final Clock clock;
    private final Leaves leaves;
    private final Resumes resumes;

    public Dispatcher(Log log, JournalHub hub, LogScans scans, NodeSettings settings, Clock clock) {
        this.log = log;
        this.hub = hub;
        this.settings = settings;
        this.clock = clock;
        this.leaves = new Leaves(log, hub, clock);
        this.resumes = new Resumes(log, hub, scans, leaves, settings, clock);
    }

    /** Finds and follows calls that were made earlier, here or at another gateway. */
    public Resumes resumes() {
        return resumes;
    }

    /** Begins the call: its exchange gets an opening or an error, at the latest after the append timeout and the deadline. */
    public <T> Exchange<T> begin(Call call, Frames<T> frames, CallObserver observer) {
        return begin(call, frames, Exchange.Mode.of(call), observer);
    }

    /** The same, whatever the call says of the background. */
    public <T> Exchange<T> begin(Call call, Frames<T> frames, Exchange.Mode mode, CallObserver observer) {
        var line = new Line(log, hub, leaves, settings.node(), call);
        var exchange = new Exchange<T>(call, frames, settings, clock, hub, line, mode, Renderer.of(call), observer);
        @Nullable KeyedStart keyed = keyed(call, exchange, line, observer);
        line.subscribe(keyed == null ? exchange : keyed);
        CompletableFuture<Void> ready = hub.use(call.partition());
        if (ready.isDone()) {
            // Nobody has the exchange yet, so nobody can have ended it.
            append(call, exchange, line, keyed, observer);
        } else {
            ready.thenRun(() -> hub.execute(() -> {
                if (!exchange.closed()) {
                    append(call, exchange, line, keyed, observer);
                }
            }));
        }
        return exchange;
    }

    private void append(Call call, Exchange<?> exchange, Line line, @Nullable KeyedStart keyed, CallObserver observer) {
        CompletableFuture<?>[] acks =
                call.parts().stream().map(part -> append(line, part, keyed)).toArray(CompletableFuture[]::new);
        CompletableFuture.allOf(acks).whenComplete((done, failure) -> {
            observer.sent(failure);
            if (failure == null) {
                exchange.acknowledged();
                return;
            }
            hub.execute(() -> {
                LOG.warn("call {} was not confirmed by Kafka: {}", call.apiId(), failure.toString());
                giveUp(line, keyed);
                exchange.fail(GatewayErrors.logUnavailable(
                        clock.wallMs() - call.first().getCreatedMs()));
            });
        });
    }

    /** What may have landed is cancelled; under a key it may be somebody else's, and is left for the next of its requests. */
    private static void giveUp(Line line, @Nullable KeyedStart keyed) {
        if (keyed == null) {
            line.cancel("not confirmed");
        } else {
            line.detach();
        }
    }

    private CompletableFuture<Long> append(Line line, Call.Part part, @Nullable KeyedStart keyed) {
        CompletableFuture<Long> appended = line.append(part);
        if (keyed != null) {
            appended.thenAccept(offset -> hub.execute(() -> keyed.appended(part, offset)));
        }
        return appended;
    }

    private @Nullable KeyedStart keyed(Call call, Exchange<?> exchange, Line line, CallObserver observer) {
        if (call.first().getIdempotencyKey().isEmpty()) {
            return null;
        }
        return new KeyedStart(call, exchange, new KeyedStart.Outcome() {
            @Override
            public void otherBody(List<Call.Part> fresh) {
                fresh.forEach(part -> line.cancel(part, "another body had the idempotency key"));
                observer.attached();
                exchange.fail(GatewayErrors.otherBody());
            }

            @Override
            public void attach(long begin, long resultPosition) {
                observer.attached();
                resumes.follow(call, exchange, line, begin, resultPosition);
            }
        });
    }
}
