package io.millrace.gateway.api;

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

    /** Begins the draft's call; throws what admission refuses. */
    <T> Exchange<T> begin(Draft draft, String tenant, CallTelemetry telemetry, Function<Call, Frames<T>> frames) {
        Admission.Admitted admitted = telemetry.admission(() -> {
            ModelState model = admission.model(draft.model());
            CallFactory.check(draft, model);
            return admission.admit(tenant, model, draft.prompts().size(), CallFactory.estimate(draft));
        });
        try {
            String key = draft.submit().getIdempotencyKey();
            int partition = node.nextPartition();
            if (partition >= 0 && !key.isEmpty()) {
                partition = IdempotencyKeys.partition(key, node.partitions());
            }
            if (partition < 0) {
                throw new ApiException(GatewayErrors.logUnavailable(0));
            }
            Call call = calls.create(draft, tenant, admitted.model(), partition, telemetry.sending());
            telemetry.began(call, admitted::settle);
            return dispatcher.begin(call, frames.apply(call), telemetry);
        } catch (RuntimeException e) {
            // Whatever it was: the tenant's share of concurrent calls is given back.
            admitted.settle(0);
            throw e;
        }
    }
}
