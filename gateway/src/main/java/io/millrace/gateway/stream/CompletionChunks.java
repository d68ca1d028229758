package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** {@code text_completion} events of a stream. */
final class CompletionChunks implements Renderer {

    private final Progress progress;
    private final ChunkFrame frame;
    private final PromptLogprobs promptLogprobs;
    private final Echo echo;
    private final BitSet begun = new BitSet();
    private final boolean promptOnly;
    private final int[] textOffsets;

    CompletionChunks(Call call) {
        this.progress = new Progress(call);
        this.frame = new ChunkFrame(call, progress, "text_completion");
        this.promptLogprobs = new PromptLogprobs(call);
        this.echo = new Echo(call);
        this.promptOnly = call.shape().getPromptOnly();
        this.textOffsets = new int[progress.choices()];
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        echo.observe(accepted);
        promptLogprobs.observe(accepted);
        switch (accepted.record().getRecordCase()) {
            case TOKENS -> tokens(accepted, accepted.record().getTokens(), out);
            case END -> end(accepted, accepted.record().getEnd(), out);
            default -> {}
        }
    }

    private void tokens(Accepted accepted, Tokens tokens, Frames<?> out) {
        int index = progress.index(accepted.prompt(), tokens.getChoice());
        begin(index, accepted, out);
        if (!promptOnly && (!tokens.getText().isEmpty() || tokens.getLogprobsCount() > 0)) {
            text(index, tokens.getText(), tokens.getLogprobsList(), accepted.offset(), out);
        }
    }

    private void end(Accepted accepted, End end, Frames<?> out) {
        int index = progress.index(accepted.prompt(), end.getChoice());
        long offset = accepted.offset();
        begin(index, accepted, out);
        JsonText json = frame.head().object().field("index", index).field("text", promptOnly ? "" : end.getText());
        json.nothing("logprobs").field("finish_reason", progress.finishReason(index));
        progress.stopReason(json, end.getStopReason());
        frame.send(json.endObject().endArray(), out, offset);
        frame.ended(out, offset);
    }

    /** The prompt, before the first of the choice: its text and its log probabilities, as far as they are wanted. */
    private void begin(int index, Accepted accepted, Frames<?> out) {
        if (begun.get(index)) {
            return;
        }
        begun.set(index);
        String prompt = echo.of(accepted.prompt());
        List<TokenLogprob> scored = promptLogprobs.of(accepted.prompt());
        if (prompt.isEmpty() && scored.isEmpty()) {
            return;
        }
        textOffsets[index] = prompt.codePointCount(0, prompt.length());
        JsonText json = frame.head().object().field("index", index).field("text", prompt);
        if (scored.isEmpty() || !echo.withLogprobs()) {
            json.nothing("logprobs");
        } else {
            json.name("logprobs").raw(Logprobs.completion(scored, PromptLogprobs.offsets(scored, prompt)));
        }
        json.nothing("finish_reason");
        promptLogprobs.write(json, accepted.prompt()).endObject().endArray();
        frame.send(json, out, accepted.offset());
    }

    private void text(int index, String text, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
        JsonText json = frame.head().object().field("index", index).field("text", text);
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
        frame.send(json.nothing("finish_reason").endObject().endArray(), out, offset);
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
