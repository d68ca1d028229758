package io.millrace.gateway.stream;

import io.millrace.gateway.parse.OutputParser;
import io.millrace.gateway.parse.OutputSink;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import java.util.function.Consumer;

/** The events of Anthropic's message: start, blocks of content one after the other, what became of it, stop. */
final class MessageEvents implements Renderer {

    private static final String NONE = "";
    private static final String TEXT = "text";
    private static final String THINKING = "thinking";
    private static final String TOOL = "tool_use";

    private final Progress progress;
    private final MessageShape shape;
    private final OutputParser parser;
    private boolean begun;
    private String open = NONE;
    private int blocks;

    MessageEvents(Call call) {
        this.progress = new Progress(call);
        this.shape = new MessageShape(call, progress);
        this.parser = OutputParser.of(call.first().getChat());
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        JournalRecord record = accepted.record();
        long offset = accepted.offset();
        if (record.hasTokens() || record.hasEnd()) {
            begin(offset, out);
        }
        progress.observe(accepted);
        if (record.hasTokens()) {
            parser.accept(record.getTokens().getText(), new Blocks(offset, out));
        } else if (record.hasEnd()) {
            end(record.getEnd(), offset, out);
        }
    }

    private void begin(long offset, Frames<?> out) {
        if (!begun) {
            begun = true;
            JsonText message = shape.reason(shape.head().endArray(), null, 0);
            message.name("usage").raw(shape.usage()).endObject();
            emit(event("message_start").name("message").raw(message.toString()), "message_start", offset, out);
            emit(event("ping"), "ping", offset, out);
        }
    }

    private void end(End end, long offset, Frames<?> out) {
        Blocks content = new Blocks(offset, out);
        parser.accept(end.getText(), content);
        parser.finish(content);
        content.close();
        JsonText delta = event("message_delta").name("delta").object();
        shape.reason(delta, end, parser.calls()).endObject().name("usage").raw(shape.usage());
        if (progress.inexact()) {
            delta.field("exact", false);
        }
        emit(delta, "message_delta", offset, out);
        emit(event("message_stop"), "message_stop", offset, out);
    }

    /** What a record adds to the content: one block is open at a time. */
    private final class Blocks implements OutputSink {

        private final long offset;
        private final Frames<?> out;

        Blocks(long offset, Frames<?> out) {
            this.offset = offset;
            this.out = out;
        }

        @Override
        public void content(String piece) {
            if (!open.equals(TEXT)) {
                start(TEXT, block -> block.field("type", TEXT).field("text", ""));
            }
            delta("text_delta", "text", piece);
        }

        @Override
        public void reasoning(String piece) {
            if (shape.thoughtless()) {
                return;
            }
            if (!open.equals(THINKING)) {
                start(
                        THINKING,
                        block -> block.field("type", THINKING)
                                .field("thinking", "")
                                .field("signature", ""));
            }
            delta("thinking_delta", "thinking", piece);
        }

        @Override
        public void call(int index, String name) {
            start(TOOL, block -> shape.call(block, index, name).object().endObject());
        }

        @Override
        public void arguments(int index, String piece) {
            delta("input_json_delta", "partial_json", piece);
        }

        private void start(String type, Consumer<JsonText> fields) {
            close();
            open = type;
            JsonText start = block("content_block_start").name("content_block").object();
            fields.accept(start);
            emit(start.endObject(), "content_block_start", offset, out);
        }

        private void delta(String type, String field, String piece) {
            JsonText delta = block("content_block_delta").name("delta").object();
            delta.field("type", type).field(field, piece).endObject();
            emit(delta, "content_block_delta", offset, out);
        }

        void close() {
            if (!open.equals(NONE)) {
                if (open.equals(THINKING)) {
                    delta("signature_delta", "signature", "");
                }
                emit(block("content_block_stop"), "content_block_stop", offset, out);
                open = NONE;
                blocks++;
            }
        }
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, "error", error.anthropic());
    }

    private static JsonText event(String type) {
        return new JsonText().object().field("type", type);
    }

    private JsonText block(String type) {
        return event(type).field("index", blocks);
    }

    private static void emit(JsonText json, String type, long offset, Frames<?> out) {
        out.event(offset, type, json.endObject().toString());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
