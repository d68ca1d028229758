package io.millrace.worker.journal;

import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.Telemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import org.jspecify.annotations.Nullable;

/**
 * The spans of one execution: {@code process assignments} over {@code worker queue}, {@code prefill}, {@code decode}; never one per
 * token. Used under the execution's lock.
 */
final class ExecutionSpans {

    private final Tracer tracer;
    private final Span process;
    private final Context context;
    private @Nullable Span phase;

    ExecutionSpans(Tracer tracer, Dispatch dispatch, String id, String worker) {
        this.tracer = tracer;
        this.process = tracer.spanBuilder("process assignments")
                .setSpanKind(SpanKind.CONSUMER)
                .setParent(Telemetry.fromProto(dispatch.getTrace()))
                .setAttribute("messaging.system", "kafka")
                .setAttribute("messaging.operation.name", "process")
                .setAttribute("messaging.destination.name", "assignments")
                .setAttribute("millrace.request.id", id)
                .setAttribute("millrace.attempt", dispatch.getAttempt())
                .setAttribute("millrace.worker", worker)
                .startSpan();
        this.context = Context.root().with(process);
        begin("worker queue");
    }

    /** For records that other parts continue the trace from. */
    TraceContext trace() {
        return Telemetry.toProto(process);
    }

    void request(Submit submit, int promptTokens) {
        process.setAttribute("gen_ai.operation.name", operation(submit));
        process.setAttribute("gen_ai.provider.name", "millrace");
        process.setAttribute("gen_ai.request.model", submit.getModel());
        process.setAttribute("gen_ai.usage.input_tokens", promptTokens);
        var sampling = submit.getSampling();
        if (sampling.hasMaxTokens()) {
            process.setAttribute("gen_ai.request.max_tokens", sampling.getMaxTokens());
        }
        if (sampling.hasTemperature()) {
            process.setAttribute("gen_ai.request.temperature", sampling.getTemperature());
        }
        if (sampling.hasTopP()) {
            process.setAttribute("gen_ai.request.top_p", sampling.getTopP());
        }
    }

    private static String operation(Submit submit) {
        return switch (submit.getTask()) {
            case EMBED -> "embeddings";
            case SCORE -> "score";
            case GENERATE, UNRECOGNIZED -> submit.hasChat() ? "chat" : "text_completion";
        };
    }

    void scheduled(int cachedTokens) {
        begin("prefill").setAttribute("millrace.cached_tokens", cachedTokens);
    }

    void firstToken() {
        begin("decode");
    }

    void finished(int outputTokens, String finishReason) {
        process.setAttribute("gen_ai.usage.output_tokens", outputTokens);
        process.setAttribute(
                io.opentelemetry.api.common.AttributeKey.stringArrayKey("gen_ai.response.finish_reasons"),
                java.util.List.of(finishReason));
        end();
    }

    void stopped(String cause, boolean error) {
        process.setAttribute("millrace.cause", cause);
        if (error) {
            process.setStatus(StatusCode.ERROR, cause);
        }
        end();
    }

    private Span begin(String name) {
        if (phase != null) {
            phase.end();
        }
        phase = tracer.spanBuilder(name).setParent(context).startSpan();
        return phase;
    }

    private void end() {
        if (phase != null) {
            phase.end();
            phase = null;
        }
        process.end();
    }
}
