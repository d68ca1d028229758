package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;

/** The {@code response} object in one piece: one event, at the end. */
final class ResponseDocument implements Renderer {

    private final Progress progress;
    private final ResponseObject response;
    private final StringBuilder text = new StringBuilder();

    ResponseDocument(Call call) {
        this.progress = new Progress(call);
        this.response = new ResponseObject(call, progress);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        if (record.hasTokens()) {
            text.append(record.getTokens().getText());
        } else if (record.hasEnd()) {
            text.append(record.getEnd().getText());
            String incomplete = ResponseObject.incomplete(record.getEnd().getFinishReason());
            String status = incomplete == null ? "completed" : "incomplete";
            String item = response.item(status, ResponseObject.part(text.toString()));
            out.event(accepted.offset(), null, response.json(status, item, null, incomplete));
        }
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.json());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
