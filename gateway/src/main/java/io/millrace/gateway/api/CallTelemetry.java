package io.millrace.gateway.api;

import io.millrace.gateway.node.CallObserver;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Progress;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.Telemetry;
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
    private final long startNanos = System.nanoTime();
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
        Span span = tracer.spanBuilder("send requests")
                .setParent(context)
                .setSpanKind(SpanKind.PRODUCER)
                .setAttribute("messaging.system", "kafka")
                .setAttribute("messaging.operation.name", "send")
                .setAttribute("messaging.operation.type", "send")
                .setAttribute("messaging.destination.name", "requests")
                .startSpan();
        send = span;
        return Telemetry.toProto(context.with(span));
    }

    /** The call is on its way; {@code settle} wants to know the tokens used in the end. */
    void began(Call begun, LongConsumer settleTokens) {
        settle = settleTokens;
        lastNanos = new long[begun.n() * begun.parts().size()];
        Sampling sampling = begun.first().getSampling();
        server.setAttribute("gen_ai.operation.name", operation(begun.shape()))
                .setAttribute("gen_ai.provider.name", "millrace")
                .setAttribute("gen_ai.request.model", begun.first().getModel())
                .setAttribute("gen_ai.response.id", begun.apiId())
                .setAttribute("millrace.request.id", begun.id().text())
                .setAttribute("gen_ai.request.choice.count", (long) begun.n());
        if (sampling.hasMaxTokens()) {
            server.setAttribute("gen_ai.request.max_tokens", (long) sampling.getMaxTokens());
        }
        if (sampling.hasTemperature()) {
            server.setAttribute("gen_ai.request.temperature", sampling.getTemperature());
        }
        if (sampling.hasTopP()) {
            server.setAttribute("gen_ai.request.top_p", sampling.getTopP());
        }
        Span span = send;
        if (span != null) {
            span.setAttribute("messaging.destination.partition.id", Integer.toString(begun.partition()));
            span.setAttribute("messaging.batch.message_count", begun.parts().size());
        }
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
            model.firstToken().record(now - startNanos, TimeUnit.NANOSECONDS);
            server.addEvent("first token");
        }
        if (lastNanos[choice] != 0 && count > 0) {
            model.interToken().record((now - lastNanos[choice]) / count, TimeUnit.NANOSECONDS);
        }
        lastNanos[choice] = now;
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
            GatewayMetrics.OfModel model = metrics.of(current.first().getModel());
            model.promptTokens().increment(progress.promptTokens());
            model.generationTokens().increment(progress.outputTokens());
            if (outcome == Outcome.COMPLETE) {
                model.whole().record(System.nanoTime() - startNanos, TimeUnit.NANOSECONDS);
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
        }
    }

    private static String operation(ResponseShape shape) {
        return switch (shape.getApi()) {
            case COMPLETIONS -> "text_completion";
            case EMBEDDINGS -> "embeddings";
            case RERANK -> "rerank";
            case SCORE -> "score";
            case CHAT_COMPLETIONS, RESPONSES, UNRECOGNIZED -> "chat";
        };
    }
}
