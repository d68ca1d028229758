package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** {@code chat.completion.chunk} events. */
final class ChatChunks implements Renderer {

    private static final String DONE = "[DONE]";

    private final Call call;
    private final Progress progress;
    private final BitSet begun = new BitSet();

    ChatChunks(Call call) {
        this.call = call;
        this.progress = new Progress(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        switch (accepted.record().getRecordCase()) {
            case TOKENS -> tokens(accepted, accepted.record().getTokens(), out);
            case END -> end(accepted, accepted.record().getEnd(), out);
            default -> {}
        }
    }

    private void tokens(Accepted accepted, Tokens tokens, Frames<?> out) {
        int index = progress.index(accepted.prompt(), tokens.getChoice());
        begin(index, accepted.offset(), out);
        if (!tokens.getText().isEmpty() || tokens.getLogprobsCount() > 0) {
            text(index, tokens.getText(), tokens.getLogprobsList(), accepted.offset(), out);
        }
    }

    private void end(Accepted accepted, End end, Frames<?> out) {
        int index = progress.index(accepted.prompt(), end.getChoice());
        long offset = accepted.offset();
        begin(index, offset, out);
        if (!end.getText().isEmpty()) {
            text(index, end.getText(), List.of(), offset, out);
        }
        JsonText json = head().object().field("index", index).name("delta").object();
        json.endObject().nothing("logprobs").field("finish_reason", end.getFinishReason());
        json.field("stop_reason", end.getStopReason().isEmpty() ? null : end.getStopReason());
        close(json.endObject(), out, offset);
        if (progress.complete()) {
            if (call.shape().getIncludeUsage()) {
                JsonText last = progress.head("chat.completion.chunk");
                last.name("choices").array().endArray().name("usage").raw(progress.usage());
                out.event(offset, null, last.endObject().toString());
            }
            out.event(offset, null, DONE);
        }
    }

    private void begin(int index, long offset, Frames<?> out) {
        if (!begun.get(index)) {
            begun.set(index);
            JsonText json = head().object().field("index", index).name("delta").object();
            json.field("role", "assistant").field("content", "").endObject();
            close(json.nothing("logprobs").nothing("finish_reason").endObject(), out, offset);
        }
    }

    private void text(int index, String text, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
        JsonText json = head().object().field("index", index);
        json.name("delta").object().field("content", text).endObject();
        logprobs(json, logprobs.isEmpty() ? null : logprobs);
        close(json.nothing("finish_reason").endObject(), out, offset);
    }

    static void logprobs(JsonText json, @Nullable List<TokenLogprob> logprobs) {
        if (logprobs == null) {
            json.nothing("logprobs");
        } else {
            json.name("logprobs").object().name("content").array();
            Logprobs.chat(json, logprobs);
            json.endArray().nothing("refusal").endObject();
        }
    }

    private JsonText head() {
        return progress.head("chat.completion.chunk").name("choices").array();
    }

    private void close(JsonText json, Frames<?> out, long offset) {
        json.endArray();
        if (call.shape().getContinuousUsage()) {
            json.name("usage").raw(progress.usage());
        } else if (call.shape().getIncludeUsage()) {
            json.nothing("usage");
        }
        out.event(offset, null, json.endObject().toString());
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.json());
        out.event(offset, null, DONE);
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
