package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.limits.Admission;
import io.millrace.gateway.node.Dispatcher;
import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.GatewayNode;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Frames;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.function.Function;
import java.util.function.LongConsumer;
import reactor.core.publisher.Mono;

/** From a draft to a running exchange: admission, ids, append. Shared by HTTP and WebSocket. Thread-safe. */
final class Generation {

    private final Admission admission;
    private final CallFactory calls;
    private final GatewayNode node;
    private final Dispatcher dispatcher;
    private final GatewayMetrics metrics;
    private final Tracer tracer;

    Generation(
            Admission admission,
            CallFactory calls,
            GatewayNode node,
            Dispatcher dispatcher,
            GatewayMetrics metrics,
            Tracer tracer) {
        this.admission = admission;
        this.calls = calls;
        this.node = node;
        this.dispatcher = dispatcher;
        this.metrics = metrics;
        this.tracer = tracer;
    }

    CallTelemetry observe(String route, Context parent) {
        return new CallTelemetry(metrics, tracer, "POST", route, parent);
    }

    /** Completes once it can be said whether somebody serves the draft's model: at once, but for a gateway that has just started. */
    Mono<Void> ready(Draft draft) {
        return node.view().awaitDecided(draft.model());
    }

    /** The same, and whether the caller's limits allow it. */
    Mono<Void> ready(Draft draft, Caller caller) {
        return ready(draft)
                .then(Mono.defer(
                        () -> admission.heard(caller.account(), draft.prompts().size(), CallFactory.estimate(draft))));
    }

    /** Begins the draft's call; throws what admission refuses. */
    <T> Exchange<T> begin(Draft draft, Caller caller, CallTelemetry telemetry, Function<Call, Frames<T>> frames) {
        Admission.Admitted admitted = telemetry.admission(() -> {
            checkModel(caller, draft.model());
            ModelState model = admission.model(draft.model());
            CallFactory.check(draft, model);
            return admission.admit(
                    caller.account(), caller.tenant(), model, draft.prompts().size(), CallFactory.estimate(draft));
        });
        return begin(
                draft,
                caller.tenant(),
                admitted.model(),
                admitted::settle,
                telemetry,
                call -> dispatcher.begin(call, frames.apply(call), telemetry));
    }

    /** Begins the draft's call for a batch: it waits for its turn by itself, so neither credits nor the tenant's limits count. */
    <T> Exchange<T> beginInBatch(
            Draft draft, String tenant, CallTelemetry telemetry, Function<Call, Frames<T>> frames) {
        ModelState model = telemetry.admission(() -> {
            ModelState known = admission.model(draft.model());
            CallFactory.check(draft, known);
            return known;
        });
        return begin(
                draft,
                tenant,
                model,
                tokens -> {},
                telemetry,
                call -> dispatcher.begin(call, frames.apply(call), Exchange.Mode.DIRECT, telemetry));
    }

    private <T> Exchange<T> begin(
            Draft draft,
            String tenant,
            ModelState model,
            LongConsumer settle,
            CallTelemetry telemetry,
            Function<Call, Exchange<T>> begin) {
        try {
            String key = draft.submit().getIdempotencyKey();
            int partition = node.nextPartition();
            if (partition >= 0 && !key.isEmpty()) {
                partition = IdempotencyKeys.partition(key, node.partitions());
            }
            if (partition < 0) {
                throw new ApiException(GatewayErrors.logUnavailable(0));
            }
            Call call = calls.create(draft, tenant, model, partition, telemetry.sending());
            telemetry.began(call, settle);
            return begin.apply(call);
        } catch (RuntimeException e) {
            // Whatever it was: the tenant's share of concurrent calls is given back.
            settle.accept(0);
            throw e;
        }
    }

    /** A key for a model is one for its aliases too. */
    private void checkModel(Caller caller, String name) {
        if (!caller.mayUse(name)) {
            ModelState model = node.view().model(name);
            if (model == null || !caller.mayUse(model.name())) {
                throw Caller.notForModel(name);
            }
        }
    }
}
