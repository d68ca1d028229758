package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;
import java.util.List;

/** The {@code response} object in one piece: one event, at the end, or whenever it is asked for. */
final class ResponseDocument implements Renderer {

    private final Progress progress;
    private final ResponseObject response;
    private final ResponseItems items;
    private final boolean retrieved;
    private boolean claimed;

    /** @param retrieved whether an error is a state of the object, not the answer */
    ResponseDocument(Call call, boolean retrieved) {
        this.retrieved = retrieved;
        this.progress = new Progress(call);
        this.response = new ResponseObject(call, progress);
        this.items = new ResponseItems(call, new ResponseItems.Watcher() {});
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        claimed |= record.hasClaim();
        if (record.hasTokens()) {
            items.accept(record.getTokens().getText(), record.getTokens().getLogprobsList());
        } else if (record.hasEnd()) {
            items.accept(record.getEnd().getText(), List.of());
            String incomplete = ResponseObject.incomplete(record.getEnd().getFinishReason());
            String status = incomplete == null ? "completed" : "incomplete";
            items.finish(status);
            out.event(accepted.offset(), null, response.json(status, items.json(), null, incomplete));
        }
    }

    @Override
    public void now(Frames<?> out) {
        out.event(Frames.NOWHERE, null, response.json(claimed ? "in_progress" : "queued", items.json(), null, null));
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        if (!retrieved) {
            out.event(offset, null, error.json());
            return;
        }
        items.cut("incomplete");
        String item = items.json();
        String json = switch (error.status()) {
            case 499 -> response.json("cancelled", item, null, null);
            case 504 -> response.json("incomplete", item, null, error.code());
            default -> response.json("failed", item, error, null);
        };
        out.event(offset, null, json);
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
