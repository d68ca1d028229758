package io.millrace.gateway.api;

import io.millrace.gateway.node.CallObserver;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Progress;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.Telemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** Span, log line and counts of a client's coming back to an answer; its tokens were counted when it was made. */
final class ResumeTelemetry implements CallObserver {

    /** What a client wants that cancels: the answer's end by that is no failure of its call. */
    static final String CANCEL = "cancel";

    private static final int CANCELLED = 499;

    private final GatewayMetrics metrics;
    private final String kind;
    private final Span server;
    private final @Nullable CallLog log;
    private final long startNanos = System.nanoTime();
    private final AtomicBoolean over = new AtomicBoolean();
    private volatile String tenant = "";
    private volatile String request = "";

    /** @param name of the span, and of the route in the log: what was asked */
    ResumeTelemetry(GatewayMetrics metrics, Tracer tracer, String kind, String name, Context parent) {
        this(metrics, tracer, kind, name, parent, true);
    }

    private ResumeTelemetry(
            GatewayMetrics metrics, Tracer tracer, String kind, String name, Context parent, boolean logged) {
        this.metrics = metrics;
        this.kind = kind;
        this.server = tracer.spanBuilder(name)
                .setParent(parent)
                .setSpanKind(SpanKind.SERVER)
                .startSpan();
        this.log = logged ? new CallLog(name, server.getSpanContext().getTraceId()) : null;
    }

    /** Of a call that reads an earlier answer for itself, and has a line in the log of its own. */
    static ResumeTelemetry within(GatewayMetrics metrics, Tracer tracer, String kind, String name, Context parent) {
        return new ResumeTelemetry(metrics, tracer, kind, name, parent, false);
    }

    /** Who asks, and for which answer, is known. */
    void asks(String name, RequestId id) {
        tenant = name;
        request = id.text();
        server.setAttribute("millrace.request.id", request);
    }

    /** For the records that it sends. */
    TraceContext trace() {
        return Telemetry.toProto(server);
    }

    @Override
    public void sent(@Nullable Throwable failure) {}

    @Override
    public void tokens(int choice, int count) {}

    @Override
    public void ended(Outcome outcome, Progress progress, @Nullable ApiError error) {
        if (outcome != Outcome.ERROR) {
            answered(outcome);
        } else if (kind.equals(CANCEL) && error != null && error.status() == CANCELLED) {
            answered();
        } else {
            refused(error);
        }
    }

    /** It got what it wanted. */
    void answered() {
        answered(Outcome.COMPLETE);
    }

    private void answered(Outcome outcome) {
        if (over.compareAndSet(false, true)) {
            metrics.resumed(kind);
            server.setAttribute("http.response.status_code", 200);
            server.end();
            logged(outcome.name().toLowerCase(Locale.ROOT), null);
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
            logged("refused", error);
        }
    }

    private void logged(String outcome, @Nullable ApiError error) {
        if (log != null) {
            log.resumed(kind, request, tenant, outcome, error, startNanos);
        }
    }
}
