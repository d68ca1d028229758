package io.millrace.standalone.parts;

import io.opentelemetry.api.trace.Span;
import io.prometheus.metrics.tracer.common.SpanContext;
import org.jspecify.annotations.Nullable;

/** Gives measurements the trace they were made in, as exemplars of the OpenMetrics exposition. Thread-safe. */
final class CurrentSpan implements SpanContext {

    @Override
    public @Nullable String getCurrentTraceId() {
        var span = Span.current().getSpanContext();
        return span.isValid() ? span.getTraceId() : null;
    }

    @Override
    public @Nullable String getCurrentSpanId() {
        var span = Span.current().getSpanContext();
        return span.isValid() ? span.getSpanId() : null;
    }

    @Override
    public boolean isCurrentSpanSampled() {
        return Span.current().getSpanContext().isSampled();
    }

    @Override
    public void markCurrentSpanAsExemplar() {
        // Every recorded span is kept anyway.
    }
}
