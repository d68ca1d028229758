package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;

/** Anthropic's message in one piece: one event, at the end. */
final class MessageDocument implements Renderer {

    private final Progress progress;
    private final MessageShape shape;
    private final StringBuilder text = new StringBuilder();

    MessageDocument(Call call) {
        this.progress = new Progress(call);
        this.shape = new MessageShape(call, progress);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        text.append(accepted.record().getTokens().getText());
        if (accepted.record().hasEnd()) {
            End end = accepted.record().getEnd();
            text.append(end.getText());
            JsonText json = shape.head();
            if (!text.isEmpty()) {
                json.object()
                        .field("type", "text")
                        .field("text", text.toString())
                        .nothing("citations")
                        .endObject();
            }
            json = shape.reason(json.endArray(), end).name("usage").raw(shape.usage());
            if (progress.inexact()) {
                json.field("exact", false);
            }
            out.event(accepted.offset(), null, json.endObject().toString());
        }
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.anthropic());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
