package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;

/** The events of Anthropic's message: start, blocks of content, what became of it, stop. */
final class MessageEvents implements Renderer {

    private final Progress progress;
    private final MessageShape shape;
    private boolean begun;
    private boolean open;
    private int blocks;

    MessageEvents(Call call) {
        this.progress = new Progress(call);
        this.shape = new MessageShape(call, progress);
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
            text(record.getTokens().getText(), offset, out);
        } else if (record.hasEnd()) {
            end(record.getEnd(), offset, out);
        }
    }

    private void begin(long offset, Frames<?> out) {
        if (!begun) {
            begun = true;
            JsonText message = shape.reason(shape.head().endArray(), null);
            message.name("usage").raw(shape.usage()).endObject();
            emit(event("message_start").name("message").raw(message.toString()), "message_start", offset, out);
            emit(event("ping"), "ping", offset, out);
        }
    }

    private void text(String text, long offset, Frames<?> out) {
        if (text.isEmpty()) {
            return;
        }
        if (!open) {
            open = true;
            JsonText start = block("content_block_start").name("content_block").object();
            start.field("type", "text").field("text", "").endObject();
            emit(start, "content_block_start", offset, out);
        }
        JsonText delta = block("content_block_delta").name("delta").object();
        delta.field("type", "text_delta").field("text", text).endObject();
        emit(delta, "content_block_delta", offset, out);
    }

    private void close(long offset, Frames<?> out) {
        if (open) {
            emit(block("content_block_stop"), "content_block_stop", offset, out);
            open = false;
            blocks++;
        }
    }

    private void end(End end, long offset, Frames<?> out) {
        text(end.getText(), offset, out);
        close(offset, out);
        JsonText delta = event("message_delta").name("delta").object();
        shape.reason(delta, end).endObject().name("usage").raw(shape.usage());
        if (progress.inexact()) {
            delta.field("exact", false);
        }
        emit(delta, "message_delta", offset, out);
        emit(event("message_stop"), "message_stop", offset, out);
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
