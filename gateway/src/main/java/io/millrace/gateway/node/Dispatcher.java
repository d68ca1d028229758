package io.millrace.gateway.node;

import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Frames;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Detach;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings calls into the log: first the journal's position, then the append, so that no record of the answer is missed.
 * Thread-safe; never blocks.
 */
public final class Dispatcher implements Exchange.Port {

    private static final Logger LOG = LoggerFactory.getLogger(Dispatcher.class);

    private final Log log;
    private final JournalHub hub;
    private final NodeSettings settings;
    private final Clock clock;
    private final Leaves leaves;

    public Dispatcher(Log log, JournalHub hub, NodeSettings settings, Clock clock) {
        this.log = log;
        this.hub = hub;
        this.settings = settings;
        this.clock = clock;
        this.leaves = new Leaves(log, hub, clock);
    }

    /** Begins the call: its exchange gets an opening or an error, at the latest after the append timeout and the deadline. */
    public <T> Exchange<T> begin(Call call, Frames<T> frames, CallObserver observer) {
        var exchange = new Exchange<T>(call, frames, settings, clock, hub, this, observer);
        for (Call.Part part : call.parts()) {
            hub.subscribe(part.id().text(), exchange);
        }
        CompletableFuture<Void> ready = hub.use(call.partition());
        if (ready.isDone()) {
            // Nobody has the exchange yet, so nobody can have ended it.
            append(call, exchange, observer);
        } else {
            ready.thenRun(() -> hub.execute(() -> {
                if (!exchange.closed()) {
                    append(call, exchange, observer);
                }
            }));
        }
        return exchange;
    }

    private void append(Call call, Exchange<?> exchange, CallObserver observer) {
        CompletableFuture<?>[] acks = call.parts().stream()
                .map(part -> append(
                        part,
                        RequestRecord.newBuilder()
                                .setId(part.id().text())
                                .setSubmit(part.submit())
                                .build()))
                .toArray(CompletableFuture[]::new);
        CompletableFuture.allOf(acks).whenComplete((done, failure) -> {
            observer.sent(failure);
            hub.execute(() -> {
                if (failure == null) {
                    exchange.acknowledged();
                } else {
                    LOG.warn("call {} was not confirmed by Kafka: {}", call.apiId(), failure.toString());
                    cancel(call, "not confirmed");
                    exchange.fail(GatewayErrors.logUnavailable(
                            clock.wallMs() - call.first().getCreatedMs()));
                }
            });
        });
    }

    private CompletableFuture<Long> append(Call.Part part, RequestRecord record) {
        return log.append(Topic.REQUESTS, part.id().partition(), part.id().text(), record.toByteArray());
    }

    @Override
    public void detach(Call call) {
        for (Call.Part part : call.parts()) {
            leaves.send(
                    part,
                    RequestRecord.newBuilder()
                            .setId(part.id().text())
                            .setDetach(Detach.newBuilder().setGateway(settings.node()))
                            .build());
        }
    }

    @Override
    public void cancel(Call call, String cause) {
        for (Call.Part part : call.parts()) {
            leaves.send(
                    part,
                    RequestRecord.newBuilder()
                            .setId(part.id().text())
                            .setCancel(CancelRequest.newBuilder()
                                    .setTenant(part.submit().getTenant())
                                    .setCause(cause))
                            .build());
        }
    }

    @Override
    public void forget(Call call) {
        for (Call.Part part : call.parts()) {
            hub.unsubscribe(part.id().text());
        }
        hub.release(call.partition());
    }
}
