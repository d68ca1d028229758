package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import org.jspecify.annotations.Nullable;

/** What Anthropic's message has in common whether it comes as events or in one piece. Not thread-safe. */
final class MessageShape {

    private final Call call;
    private final Progress progress;

    MessageShape(Call call, Progress progress) {
        this.call = call;
        this.progress = progress;
    }

    /** The message as far as into its content. */
    JsonText head() {
        return new JsonText()
                .object()
                .field("id", call.apiId())
                .field("type", "message")
                .field("role", "assistant")
                .field("model", call.first().getModel())
                .name("content")
                .array();
    }

    /**
     * {@code stop_reason} and {@code stop_sequence}; nulls while it is not known.
     *
     * @param calls that the model made
     */
    JsonText reason(JsonText json, @Nullable End end, int calls) {
        if (end == null) {
            return json.nothing("stop_reason").nothing("stop_sequence");
        }
        boolean sequence = call.first().getSampling().getStopList().contains(end.getStopReason());
        String reason = switch (ParsedOutput.finishReason(end.getFinishReason(), calls)) {
            case "length" -> "max_tokens";
            case "tool_calls" -> "tool_use";
            default -> sequence ? "stop_sequence" : "end_turn";
        };
        return json.field("stop_reason", reason).field("stop_sequence", sequence ? end.getStopReason() : null);
    }

    /** The beginning of a call's block: its input follows. */
    JsonText call(JsonText block, int index, String name) {
        return block.field("type", "tool_use")
                .field("id", CallIds.of(call.id(), call.first().getChat(), 0, index))
                .field("name", name)
                .name("caller")
                .object()
                .field("type", "direct")
                .endObject()
                .name("input");
    }

    /** Whether thoughts are left out. */
    boolean thoughtless() {
        return call.first().getChat().getHideReasoning();
    }

    /** Tokens of the prompt count as input where they were computed, as cache reads where they were found. */
    String usage() {
        return new JsonText()
                .object()
                .field("input_tokens", progress.promptTokens() - progress.cachedTokens())
                .field("cache_creation_input_tokens", 0)
                .field("cache_read_input_tokens", progress.cachedTokens())
                .field("output_tokens", progress.outputTokens())
                .endObject()
                .toString();
    }
}
