package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** {@code chat.completion.chunk} events. */
final class ChatChunks implements Renderer {

    private final Progress progress;
    private final ChunkFrame frame;
    private final PromptLogprobs promptLogprobs;
    private final BitSet begun = new BitSet();
    private final String echo;

    ChatChunks(Call call) {
        this.echo = ChatEcho.of(call);
        this.progress = new Progress(call);
        this.frame = new ChunkFrame(call, progress, "chat.completion.chunk");
        this.promptLogprobs = new PromptLogprobs(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        promptLogprobs.observe(accepted);
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
        JsonText json =
                frame.head().object().field("index", index).name("delta").object();
        json.endObject().nothing("logprobs").field("finish_reason", end.getFinishReason());
        progress.stopReason(json, end.getStopReason());
        frame.send(json.endObject().endArray(), out, offset);
        frame.ended(out, offset);
    }

    private void begin(int index, long offset, Frames<?> out) {
        if (!begun.get(index)) {
            boolean first = begun.isEmpty();
            begun.set(index);
            JsonText json =
                    frame.head().object().field("index", index).name("delta").object();
            json.field("role", "assistant").field("content", "").endObject();
            json.nothing("logprobs").nothing("finish_reason").endObject().endArray();
            if (first) {
                promptLogprobs.write(json, 0);
            }
            frame.send(json, out, offset);
            if (!echo.isEmpty()) {
                text(index, echo, List.of(), offset, out);
            }
        }
    }

    private void text(int index, String text, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
        JsonText json = frame.head().object().field("index", index);
        json.name("delta").object().field("content", text).endObject();
        logprobs(json, logprobs.isEmpty() ? null : logprobs);
        frame.send(json.nothing("finish_reason").endObject().endArray(), out, offset);
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

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        ChunkFrame.fail(error, out, offset);
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
