package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** {@code text_completion} events of a stream. */
final class CompletionChunks implements Renderer {

    private static final String DONE = "[DONE]";

    private final Call call;
    private final Progress progress;
    private final Echo echo;
    private final BitSet begun = new BitSet();
    private final int[] textOffsets;

    CompletionChunks(Call call) {
        this.call = call;
        this.progress = new Progress(call);
        this.echo = new Echo(call);
        this.textOffsets = new int[progress.choices()];
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        echo.observe(accepted);
        switch (accepted.record().getRecordCase()) {
            case TOKENS -> tokens(accepted, accepted.record().getTokens(), out);
            case END -> end(accepted, accepted.record().getEnd(), out);
            default -> {}
        }
    }

    private void tokens(Accepted accepted, Tokens tokens, Frames<?> out) {
        int index = progress.index(accepted.prompt(), tokens.getChoice());
        begin(index, accepted, out);
        if (!tokens.getText().isEmpty() || tokens.getLogprobsCount() > 0) {
            text(index, tokens.getText(), tokens.getLogprobsList(), accepted.offset(), out);
        }
    }

    private void end(Accepted accepted, End end, Frames<?> out) {
        int index = progress.index(accepted.prompt(), end.getChoice());
        long offset = accepted.offset();
        begin(index, accepted, out);
        JsonText json = head().object().field("index", index).field("text", end.getText());
        json.nothing("logprobs").field("finish_reason", end.getFinishReason());
        json.field("stop_reason", end.getStopReason().isEmpty() ? null : end.getStopReason());
        close(json.endObject(), out, offset);
        if (progress.complete()) {
            if (call.shape().getIncludeUsage()) {
                JsonText last = progress.head("text_completion");
                last.name("choices").array().endArray().name("usage").raw(progress.usage());
                out.event(offset, null, last.endObject().toString());
            }
            out.event(offset, null, DONE);
        }
    }

    private void begin(int index, Accepted accepted, Frames<?> out) {
        if (!begun.get(index)) {
            begun.set(index);
            String prompt = echo.of(accepted.prompt());
            if (!prompt.isEmpty()) {
                textOffsets[index] = prompt.codePointCount(0, prompt.length());
                text(index, prompt, List.of(), accepted.offset(), out);
            }
        }
    }

    private void text(int index, String text, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
        JsonText json = head().object().field("index", index).field("text", text);
        if (logprobs.isEmpty()) {
            json.nothing("logprobs");
        } else {
            List<Integer> offsets = new ArrayList<>();
            for (TokenLogprob token : logprobs) {
                offsets.add(textOffsets[index]);
                textOffsets[index] += Logprobs.length(token);
            }
            json.name("logprobs").raw(Logprobs.completion(logprobs, offsets));
        }
        close(json.nothing("finish_reason").endObject(), out, offset);
    }

    private JsonText head() {
        return progress.head("text_completion").name("choices").array();
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
