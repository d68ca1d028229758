package io.millrace.shared.telemetry;

import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanKind;

/**
 * Attributes that the spans of all parts have in common, by OpenTelemetry's conventions for generative AI and for messaging
 * (https://opentelemetry.io/docs/specs/semconv/). Never a text of the prompt, the answer or a stop string.
 */
public final class SpanAttributes {

    private SpanAttributes() {}

    /** What was asked for. */
    public static void request(Span span, Submit submit) {
        span.setAttribute("gen_ai.operation.name", operation(submit))
                .setAttribute("gen_ai.provider.name", "millrace")
                .setAttribute("gen_ai.request.model", submit.getModel())
                .setAttribute("gen_ai.request.choice.count", (long) Math.max(1, submit.getN()))
                .setAttribute("gen_ai.output.type", submit.getSampling().hasGrammar() ? "json" : "text");
        if (submit.getTask() == Submit.Task.GENERATE) {
            sampling(span, submit.getSampling());
            span.setAttribute("gen_ai.request.seed", submit.getSeed());
        }
    }

    private static void sampling(Span span, Sampling sampling) {
        if (sampling.hasMaxTokens()) {
            span.setAttribute("gen_ai.request.max_tokens", (long) sampling.getMaxTokens());
        }
        if (sampling.hasTemperature()) {
            span.setAttribute("gen_ai.request.temperature", sampling.getTemperature());
        }
        if (sampling.hasTopP()) {
            span.setAttribute("gen_ai.request.top_p", sampling.getTopP());
        }
        if (sampling.hasTopK()) {
            span.setAttribute("gen_ai.request.top_k", (double) sampling.getTopK());
        }
        if (sampling.hasPresencePenalty()) {
            span.setAttribute("gen_ai.request.presence_penalty", sampling.getPresencePenalty());
        }
        if (sampling.hasFrequencyPenalty()) {
            span.setAttribute("gen_ai.request.frequency_penalty", sampling.getFrequencyPenalty());
        }
    }

    /** {@code gen_ai.operation.name} of a request. */
    public static String operation(Submit submit) {
        return switch (submit.getTask()) {
            case EMBED -> "embeddings";
            case SCORE -> submit.getShape().getApi() == ResponseShape.Api.RERANK ? "rerank" : "score";
            case TOKENIZE -> "tokenize";
            case DETOKENIZE -> "detokenize";
            case GENERATE, UNRECOGNIZED -> submit.hasChat() ? "chat" : "text_completion";
        };
    }

    /** The span that appends to a topic. */
    public static SpanBuilder sends(SpanBuilder span, Topic topic) {
        return messaging(span, topic, "send").setSpanKind(SpanKind.PRODUCER);
    }

    /** The span that works on what was read from a topic. */
    public static SpanBuilder processes(SpanBuilder span, Topic topic) {
        return messaging(span, topic, "process").setSpanKind(SpanKind.CONSUMER);
    }

    private static SpanBuilder messaging(SpanBuilder span, Topic topic, String operation) {
        return span.setAttribute("messaging.system", "kafka")
                .setAttribute("messaging.operation.name", operation)
                .setAttribute("messaging.operation.type", operation)
                .setAttribute("messaging.destination.name", topic.baseName());
    }
}
