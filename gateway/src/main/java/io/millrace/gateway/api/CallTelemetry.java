package io.millrace.gateway.api;

import io.millrace.gateway.node.CallObserver;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Progress;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.SpanAttributes;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.topic.Topic;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Spans and metrics of one call: the server's span around everything, admission, the send. Attributes follow OpenTelemetry's
 * conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/); never a prompt's text.
 */
final class CallTelemetry implements CallObserver {

    private final GatewayMetrics metrics;
    private final Tracer tracer;
    private final Span server;
    private final Context context;
    private final CallLog log;
    private final long startNanos = System.nanoTime();
    private volatile String tenant = "";
    private long firstNanos;
    private int generated;
    private final AtomicBoolean over = new AtomicBoolean();
    private volatile @Nullable Span send;
    private volatile @Nullable Call call;
    private volatile LongConsumer settle = tokens -> {};
    private long[] lastNanos = new long[0];
    private boolean first = true;
    private boolean attached;

    CallTelemetry(GatewayMetrics metrics, Tracer tracer, String method, String route, Context parent) {
        this.metrics = metrics;
        this.tracer = tracer;
        this.server = tracer.spanBuilder(method + " " + route)
                .setParent(parent)
                .setSpanKind(SpanKind.SERVER)
                .setAttribute("http.request.method", method)
                .setAttribute("http.route", route)
                .startSpan();
        this.context = parent.with(server);
        this.log = new CallLog(method + " " + route, server.getSpanContext().getTraceId());
    }

    /** Who calls is known. */
    void tenant(String name) {
        tenant = name;
    }

    /** What is measured meanwhile leads to the call's span by its exemplars. */
    private void measured(Runnable measures) {
        if (server.isRecording()) {
            context.wrap(measures).run();
        } else {
            measures.run();
        }
    }

    /** Runs the admission in a span of its own. */
    <T> T admission(Supplier<T> work) {
        Span span = tracer.spanBuilder("admission").setParent(context).startSpan();
        try {
            return work.get();
        } catch (RuntimeException e) {
            span.setStatus(StatusCode.ERROR);
            throw e;
        } finally {
            span.end();
        }
    }

    /** Begins the span of the send, and gives the context that travels in the request. */
    TraceContext sending() {
        Span span = SpanAttributes.sends(tracer.spanBuilder("send requests"), Topic.REQUESTS)
                .setParent(context)
                .startSpan();
        send = span;
        return Telemetry.toProto(context.with(span));
    }

    /** The call is on its way; {@code settle} wants to know the tokens used in the end. */
    void began(Call begun, LongConsumer settleTokens) {
        settle = settleTokens;
        lastNanos = new long[begun.n() * begun.parts().size()];
        SpanAttributes.request(server, begun.first());
        server.setAttribute("gen_ai.response.id", begun.apiId())
                .setAttribute("gen_ai.response.model", begun.first().getModel())
                .setAttribute("millrace.request.id", begun.id().text());
        Span span = send;
        if (span != null) {
            span.setAttribute("messaging.kafka.message.key", begun.id().text());
            span.setAttribute("messaging.destination.partition.id", Integer.toString(begun.partition()));
            span.setAttribute("messaging.batch.message_count", begun.parts().size());
        }
        tenant = begun.first().getTenant();
        metrics.tenant(tenant).requests().increment();
        call = begun;
    }

    @Override
    public void sent(@Nullable Throwable failure) {
        Span span = send;
        if (span != null) {
            if (failure != null) {
                span.setStatus(StatusCode.ERROR, String.valueOf(failure.getMessage()));
            }
            span.end();
        }
    }

    /** Of an answer that was counted when it was asked for first, only the attaching counts. */
    @Override
    public void attached() {
        attached = true;
        metrics.resumed("idempotency_key");
    }

    @Override
    public void tokens(int choice, int count) {
        Call current = call;
        if (current == null || attached) {
            return;
        }
        GatewayMetrics.OfModel model = metrics.of(current.first().getModel());
        long now = System.nanoTime();
        if (first) {
            first = false;
            firstNanos = now;
            server.addEvent("first token");
            measured(() -> first(current, now - startNanos));
        }
        generated += count;
        if (lastNanos[choice] != 0 && count > 0) {
            long each = (now - lastNanos[choice]) / count;
            measured(() -> model.interToken().record(each, TimeUnit.NANOSECONDS));
        }
        lastNanos[choice] = now;
    }

    private void first(Call of, long nanos) {
        metrics.of(of.first().getModel()).firstToken().record(nanos, TimeUnit.NANOSECONDS);
        metrics.tenant(tenant).firstToken().record(nanos, TimeUnit.NANOSECONDS);
        metrics.servedFirst(SpanAttributes.operation(of.first()), of.first().getModel(), nanos);
    }

    @Override
    public void ended(Outcome outcome, Progress progress, @Nullable ApiError error) {
        Call current = call;
        if (error != null || current == null) {
            failed(error);
        }
        if (!over.compareAndSet(false, true)) {
            return;
        }
        settle.accept(attached ? 0 : (long) progress.promptTokens() + progress.outputTokens());
        if (current != null && !attached) {
            counted(current, progress);
            if (outcome == Outcome.COMPLETE) {
                measured(() -> completed(current));
                reasons(current, progress);
                server.setAttribute("http.response.status_code", 200);
            }
        }
        server.setAttribute("gen_ai.usage.input_tokens", (long) progress.promptTokens())
                .setAttribute("gen_ai.usage.output_tokens", (long) progress.outputTokens());
        if (outcome == Outcome.DETACHED) {
            server.addEvent("client gone");
        }
        server.end();
        if (current != null) {
            log.ended(current, tenant, outcome, error, progress, new CallLog.Times(startNanos, firstNanos));
        }
    }

    private void counted(Call of, Progress progress) {
        GatewayMetrics.OfModel model = metrics.of(of.first().getModel());
        model.promptTokens().increment(progress.promptTokens());
        model.generationTokens().increment(progress.outputTokens());
        GatewayMetrics.OfTenant by = metrics.tenant(tenant);
        by.promptTokens().increment(progress.promptTokens());
        by.generationTokens().increment(progress.outputTokens());
    }

    private void completed(Call of) {
        long now = System.nanoTime();
        String model = of.first().getModel();
        String operation = SpanAttributes.operation(of.first());
        metrics.of(model).whole().record(now - startNanos, TimeUnit.NANOSECONDS);
        metrics.tenant(tenant).whole().record(now - startNanos, TimeUnit.NANOSECONDS);
        metrics.served(operation, model, "", now - startNanos);
        if (generated > 1) {
            metrics.servedToken(operation, model, (now - firstNanos) / (generated - 1));
        }
    }

    private void reasons(Call current, Progress progress) {
        List<String> reasons = new ArrayList<>();
        for (int i = 0; i < progress.choices(); i++) {
            metrics.finished(current.first().getModel(), progress.finishReason(i));
            reasons.add(progress.finishReason(i));
        }
        server.setAttribute(AttributeKey.stringArrayKey("gen_ai.response.finish_reasons"), reasons);
    }

    private void failed(@Nullable ApiError error) {
        if (error != null && !over.get()) {
            metrics.failed(error.status());
            if (!tenant.isEmpty()) {
                metrics.tenantFailed(tenant, error.status());
            }
            Call current = call;
            if (current != null) {
                metrics.served(
                        SpanAttributes.operation(current.first()),
                        current.first().getModel(),
                        error.code(),
                        System.nanoTime() - startNanos);
            }
            server.setAttribute("http.response.status_code", error.status());
            server.setAttribute("error.type", error.code());
            if (error.status() >= 500) {
                server.setStatus(StatusCode.ERROR, error.code());
            }
        }
    }

    /** The call ended before it was sent. */
    void refused(@Nullable ApiError error) {
        failed(error);
        if (over.compareAndSet(false, true)) {
            if (error == null) {
                server.setStatus(StatusCode.ERROR);
            }
            server.end();
            log.refused(tenant, error, startNanos);
        }
    }
}
