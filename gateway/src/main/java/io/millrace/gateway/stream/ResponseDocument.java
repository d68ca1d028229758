package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** The {@code response} object in one piece: one event, at the end, or whenever it is asked for. */
final class ResponseDocument implements Renderer {

    private final Progress progress;
    private final ResponseObject response;
    private final StringBuilder text = new StringBuilder();
    private final List<TokenLogprob> logprobs = new ArrayList<>();
    private final boolean retrieved;
    private boolean claimed;

    /** @param retrieved whether an error is a state of the object, not the answer */
    ResponseDocument(Call call, boolean retrieved) {
        this.retrieved = retrieved;
        this.progress = new Progress(call);
        this.response = new ResponseObject(call, progress);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        claimed |= record.hasClaim();
        if (record.hasTokens()) {
            text.append(record.getTokens().getText());
            logprobs.addAll(record.getTokens().getLogprobsList());
        } else if (record.hasEnd()) {
            text.append(record.getEnd().getText());
            String incomplete = ResponseObject.incomplete(record.getEnd().getFinishReason());
            String status = incomplete == null ? "completed" : "incomplete";
            String item = response.item(status, ResponseObject.part(text.toString(), logprobs));
            out.event(accepted.offset(), null, response.json(status, item, null, incomplete));
        }
    }

    @Override
    public void now(Frames<?> out) {
        String item =
                text.isEmpty() ? null : response.item("in_progress", ResponseObject.part(text.toString(), logprobs));
        out.event(Frames.NOWHERE, null, response.json(claimed ? "in_progress" : "queued", item, null, null));
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        if (!retrieved) {
            out.event(offset, null, error.json());
            return;
        }
        String item =
                text.isEmpty() ? null : response.item("incomplete", ResponseObject.part(text.toString(), logprobs));
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
