package io.millrace.router.node;

import io.millrace.router.core.RouterEvent;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.SpanAttributes;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.topic.Topic;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.StatusCode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The router's spans of a request: {@code process requests} (read and admitted), {@code router queue}, {@code route}; and for a lost attempt a
 * span that its worker can no longer write, to which the next attempt's route links. Used by the router's thread.
 */
final class RouterSpans {

    private static final int LOST_MAX = 4_096;
    /** The worker has handed it over, and written its span itself. */
    private static final String YIELD = "yield";

    private final Telemetry telemetry;
    private final Map<String, SpanContext> lost = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.@Nullable Entry<String, SpanContext> eldest) {
            return size() > LOST_MAX;
        }
    };

    RouterSpans(Telemetry telemetry) {
        this.telemetry = telemetry;
    }

    void observe(RouterEvent event) {
        if (!telemetry.enabled()) {
            return;
        }
        switch (event) {
            case RouterEvent.Admitted e ->
                SpanAttributes.processes(begin("process requests", e.trace(), e.submittedMs(), e.id()), Topic.REQUESTS)
                        .setAttribute("gen_ai.request.model", e.model())
                        .startSpan()
                        .end(e.admittedMs(), TimeUnit.MILLISECONDS);
            case RouterEvent.Routed e -> routed(e);
            case RouterEvent.AttemptLost e -> {
                SpanBuilder builder = begin("attempt lost", e.trace(), e.startedMs(), e.id())
                        .setAttribute("gen_ai.request.model", e.model())
                        .setAttribute("millrace.worker", e.worker())
                        .setAttribute("millrace.attempt", e.attempt())
                        .setAttribute("millrace.cause", e.cause())
                        .setAttribute("error.type", e.cause())
                        .setAttribute("gen_ai.usage.output_tokens", e.tokens());
                // The span that the lost worker began under this id: what it had sent of its phases hangs on it.
                Span span = e.aid().isEmpty() || e.cause().equals(YIELD)
                        ? builder.startSpan()
                        : telemetry.start(builder, Telemetry.spanId(e.aid().toByteArray()));
                span.setStatus(StatusCode.ERROR, e.cause());
                span.end(e.atMs(), TimeUnit.MILLISECONDS);
                lost.put(e.id(), span.getSpanContext());
            }
            case RouterEvent.Ended e -> lost.remove(e.id());
            case RouterEvent.Rejected e -> lost.remove(e.id());
            case RouterEvent.Queued e -> {}
            case RouterEvent.Fenced e -> {}
            case RouterEvent.DeadLettered e -> {}
            case RouterEvent.NodeSuspected e -> {}
            case RouterEvent.Ownership e -> {}
        }
    }

    private void routed(RouterEvent.Routed e) {
        begin("router queue", e.trace(), e.queuedMs(), e.id())
                .setAttribute("gen_ai.request.model", e.model())
                .startSpan()
                .end(e.atMs(), TimeUnit.MILLISECONDS);
        SpanBuilder route = SpanAttributes.sends(begin("route", e.trace(), e.atMs(), e.id()), Topic.ASSIGNMENTS)
                .setAttribute("millrace.worker", e.worker())
                .setAttribute("millrace.attempt", e.attempt())
                .setAttribute("millrace.cached_tokens", e.cachedTokens());
        SpanContext before = lost.remove(e.id());
        if (before != null) {
            route.addLink(before);
        }
        route.startSpan().end();
    }

    private SpanBuilder begin(String name, TraceContext parent, long startMs, String id) {
        return telemetry
                .tracer()
                .spanBuilder(name)
                .setParent(Telemetry.fromProto(parent))
                .setStartTimestamp(startMs, TimeUnit.MILLISECONDS)
                .setAttribute("messaging.kafka.message.key", id)
                .setAttribute("millrace.request.id", id);
    }
}
