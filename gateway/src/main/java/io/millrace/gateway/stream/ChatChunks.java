package io.millrace.gateway.stream;

import io.millrace.gateway.parse.OutputParser;
import io.millrace.gateway.parse.OutputSink;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** {@code chat.completion.chunk} events. */
final class ChatChunks implements Renderer {

    private final Call call;
    private final Progress progress;
    private final ChunkFrame frame;
    private final PromptLogprobs promptLogprobs;
    private final BitSet begun = new BitSet();
    private final String echo;
    private final List<OutputParser> parsers = new ArrayList<>();

    ChatChunks(Call call) {
        this.call = call;
        this.echo = ChatEcho.of(call);
        this.progress = new Progress(call);
        this.frame = new ChunkFrame(call, progress, "chat.completion.chunk");
        this.promptLogprobs = new PromptLogprobs(call);
        for (int i = 0; i < progress.choices(); i++) {
            parsers.add(OutputParser.of(call.first().getChat()));
        }
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
        Deltas deltas = new Deltas(index, tokens.getLogprobsList(), accepted.offset(), out);
        parsers.get(index).accept(tokens.getText(), deltas);
        deltas.logprobsAlone();
    }

    private void end(Accepted accepted, End end, Frames<?> out) {
        int index = progress.index(accepted.prompt(), end.getChoice());
        long offset = accepted.offset();
        begin(index, offset, out);
        OutputParser parser = parsers.get(index);
        Deltas deltas = new Deltas(index, List.of(), offset, out);
        parser.accept(end.getText(), deltas);
        parser.finish(deltas);
        JsonText json =
                frame.head().object().field("index", index).name("delta").object();
        json.endObject()
                .nothing("logprobs")
                .field("finish_reason", ParsedOutput.finishReason(end.getFinishReason(), parser.calls()));
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
                new Deltas(index, List.of(), offset, out).content(echo);
            }
        }
    }

    /** What a record adds to a choice, each piece a chunk; the first has the log probabilities of all of it. */
    private final class Deltas implements OutputSink {

        private final int choice;
        private final long offset;
        private final Frames<?> out;
        private List<TokenLogprob> logprobs;

        Deltas(int choice, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
            this.choice = choice;
            this.logprobs = logprobs;
            this.offset = offset;
            this.out = out;
        }

        @Override
        public void content(String piece) {
            send(delta -> delta.field("content", piece));
        }

        @Override
        public void reasoning(String piece) {
            if (!call.first().getChat().getHideReasoning()) {
                send(delta -> delta.field("reasoning_content", piece));
            }
        }

        @Override
        public void call(int index, String name) {
            ChatInput chat = call.first().getChat();
            send(delta -> {
                delta.name("tool_calls").array().object().field("index", index);
                delta.field("id", CallIds.of(call.id(), chat, choice, index)).field("type", "function");
                delta.name("function").object().field("name", name).field("arguments", "");
                delta.endObject().endObject().endArray();
            });
        }

        @Override
        public void arguments(int index, String piece) {
            send(delta -> {
                delta.name("tool_calls").array().object().field("index", index);
                delta.name("function").object().field("arguments", piece);
                delta.endObject().endObject().endArray();
            });
        }

        void logprobsAlone() {
            if (!logprobs.isEmpty()) {
                content("");
            }
        }

        private void send(Consumer<JsonText> fields) {
            JsonText json = frame.head().object().field("index", choice);
            JsonText delta = json.name("delta").object();
            fields.accept(delta);
            delta.endObject();
            ChatChunks.logprobs(json, logprobs.isEmpty() ? null : logprobs);
            logprobs = List.of();
            frame.send(json.nothing("finish_reason").endObject().endArray(), out, offset);
        }
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
