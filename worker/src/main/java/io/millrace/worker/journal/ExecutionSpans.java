package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.SpanAttributes;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.topic.Topic;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.List;
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
    private final boolean recorded;
    private final TraceContext trace;
    private int promptTokens;

    /** @param aid of the execution: its span's id follows from it */
    ExecutionSpans(Telemetry telemetry, Assignment assignment, ByteString aid, LogRecord record, String worker) {
        Dispatch dispatch = assignment.getDispatch();
        this.tracer = telemetry.tracer();
        SpanBuilder builder = SpanAttributes.processes(tracer.spanBuilder("process assignments"), Topic.ASSIGNMENTS)
                .setAttribute("messaging.kafka.message.key", assignment.getId())
                .setParent(Telemetry.fromProto(dispatch.getTrace()))
                .setAttribute("messaging.destination.partition.id", Integer.toString(record.partition()))
                .setAttribute("messaging.kafka.offset", record.offset())
                .setAttribute("millrace.request.id", assignment.getId())
                .setAttribute("millrace.attempt", dispatch.getAttempt())
                .setAttribute("millrace.worker", worker);
        if (!dispatch.getPreviousAid().isEmpty()) {
            builder.addLink(Telemetry.sibling(
                    dispatch.getTrace(),
                    Telemetry.spanId(dispatch.getPreviousAid().toByteArray())));
        }
        this.process = telemetry.start(builder, Telemetry.spanId(aid.toByteArray()));
        this.context = Context.root().with(process);
        this.recorded = process.isRecording();
        this.trace = Telemetry.toProto(process);
        begin("worker queue");
    }

    /** Goes with every record of the execution. */
    TraceContext trace() {
        return trace;
    }

    /** Of the client's trace; zeros when there is none. */
    String traceId() {
        return process.getSpanContext().getTraceId();
    }

    /** For the links of engine steps. */
    SpanContext spanContext() {
        return process.getSpanContext();
    }

    /** What is measured meanwhile leads to this span by its exemplars. */
    void measured(Runnable measures) {
        if (recorded) {
            context.wrap(measures).run();
        } else {
            measures.run();
        }
    }

    void request(Submit submit, int tokens) {
        promptTokens = tokens;
        SpanAttributes.request(process, submit);
        process.setAttribute("gen_ai.usage.input_tokens", tokens);
    }

    void scheduled(int cachedTokens) {
        begin("prefill")
                .setAttribute("gen_ai.usage.input_tokens", promptTokens)
                .setAttribute("gen_ai.usage.cache_read.input_tokens", cachedTokens);
        process.setAttribute("gen_ai.usage.cache_read.input_tokens", cachedTokens);
    }

    void firstToken() {
        begin("decode");
    }

    void finished(int outputTokens, String finishReason) {
        if (phase != null) {
            phase.setAttribute("gen_ai.usage.output_tokens", outputTokens);
        }
        process.setAttribute("gen_ai.usage.output_tokens", outputTokens);
        process.setAttribute(AttributeKey.stringArrayKey("gen_ai.response.finish_reasons"), List.of(finishReason));
        end();
    }

    void stopped(String cause, boolean error) {
        process.setAttribute("millrace.cause", cause);
        if (error) {
            process.setStatus(StatusCode.ERROR, cause);
            process.setAttribute("error.type", cause);
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
