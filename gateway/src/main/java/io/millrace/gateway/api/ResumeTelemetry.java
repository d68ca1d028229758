package io.millrace.gateway.api;

import io.millrace.gateway.node.CallObserver;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Progress;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** Span and counts of a client's coming back to an answer; its tokens were counted when it was made. */
final class ResumeTelemetry implements CallObserver {

    private final GatewayMetrics metrics;
    private final String kind;
    private final Span server;
    private final AtomicBoolean over = new AtomicBoolean();

    ResumeTelemetry(GatewayMetrics metrics, Tracer tracer, String kind, String name, Context parent) {
        this.metrics = metrics;
        this.kind = kind;
        this.server = tracer.spanBuilder(name)
                .setParent(parent)
                .setSpanKind(SpanKind.SERVER)
                .startSpan();
    }

    @Override
    public void sent(@Nullable Throwable failure) {}

    @Override
    public void tokens(int choice, int count) {}

    @Override
    public void ended(Outcome outcome, Progress progress, @Nullable ApiError error) {
        if (outcome == Outcome.ERROR) {
            refused(error);
        } else {
            answered();
        }
    }

    /** It got what it wanted. */
    void answered() {
        if (over.compareAndSet(false, true)) {
            metrics.resumed(kind);
            server.setAttribute("http.response.status_code", 200);
            server.end();
        }
    }

    void refused(@Nullable ApiError error) {
        if (over.compareAndSet(false, true)) {
            if (error != null) {
                metrics.failed(error.status());
                server.setAttribute("http.response.status_code", error.status());
                server.setAttribute("error.type", error.code());
            }
            if (error == null || error.status() >= 500) {
                server.setStatus(StatusCode.ERROR);
            }
            server.end();
        }
    }
}
