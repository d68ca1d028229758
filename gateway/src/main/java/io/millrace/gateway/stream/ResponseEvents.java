package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Events of {@code /v1/responses}, numbered without gaps from 0. */
final class ResponseEvents implements Renderer {

    private final Progress progress;
    private final ResponseObject response;
    private final StringBuilder text = new StringBuilder();
    private final List<TokenLogprob> all = new ArrayList<>();
    private boolean created;
    private boolean begun;
    private long sequence;

    ResponseEvents(Call call) {
        this.progress = new Progress(call);
        this.response = new ResponseObject(call, progress);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        long offset = accepted.offset();
        switch (record.getRecordCase()) {
            case ADMIT -> create(offset, out);
            case TOKENS -> {
                begin(offset, out);
                delta(record.getTokens().getText(), record.getTokens().getLogprobsList(), offset, out);
            }
            case END -> end(record.getEnd(), offset, out);
            default -> {}
        }
    }

    private void create(long offset, Frames<?> out) {
        if (!created) {
            created = true;
            event("response.created", state("in_progress", null, null, null), offset, out);
            event("response.in_progress", state("in_progress", null, null, null), offset, out);
        }
    }

    private void begin(long offset, Frames<?> out) {
        create(offset, out);
        if (!begun) {
            begun = true;
            JsonText added = start("response.output_item.added").field("output_index", 0);
            emit(added.name("item").raw(response.item("in_progress", "")), "response.output_item.added", offset, out);
            emit(
                    content("response.content_part.added").name("part").raw(ResponseObject.part("", List.of())),
                    "response.content_part.added",
                    offset,
                    out);
        }
    }

    private void delta(String delta, List<TokenLogprob> logprobs, long offset, Frames<?> out) {
        if (!delta.isEmpty() || !logprobs.isEmpty()) {
            text.append(delta);
            all.addAll(logprobs);
            JsonText json = content("response.output_text.delta").field("delta", delta);
            emit(ResponseObject.logprobs(json, logprobs), "response.output_text.delta", offset, out);
        }
    }

    private void end(End end, long offset, Frames<?> out) {
        begin(offset, out);
        delta(end.getText(), List.of(), offset, out);
        String incomplete = ResponseObject.incomplete(end.getFinishReason());
        String item = finish(incomplete == null ? "completed" : "incomplete", offset, out);
        if (incomplete == null) {
            event("response.completed", state("completed", item, null, null), offset, out);
        } else {
            event("response.incomplete", state("incomplete", item, null, incomplete), offset, out);
        }
    }

    /** Closes the text, its part and its item; returns the item. */
    private String finish(String status, long offset, Frames<?> out) {
        String part = ResponseObject.part(text.toString(), all);
        JsonText done = content("response.output_text.done").field("text", text.toString());
        emit(ResponseObject.logprobs(done, all), "response.output_text.done", offset, out);
        emit(content("response.content_part.done").name("part").raw(part), "response.content_part.done", offset, out);
        String item = response.item(status, part);
        JsonText itemDone = start("response.output_item.done").field("output_index", 0);
        emit(itemDone.name("item").raw(item), "response.output_item.done", offset, out);
        return item;
    }

    /** Closes what is open; then a cut (deadline, cancellation) ends as incomplete, an error as failed. */
    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        create(offset, out);
        String item = begun ? finish("incomplete", offset, out) : null;
        if (error.status() == 504 || error.status() == 499) {
            event("response.incomplete", state("incomplete", item, null, error.code()), offset, out);
        } else {
            event("response.failed", state("failed", item, error, null), offset, out);
        }
    }

    private String state(String status, @Nullable String item, @Nullable ApiError error, @Nullable String incomplete) {
        return response.json(status, item, error, incomplete);
    }

    private void event(String type, String state, long offset, Frames<?> out) {
        emit(start(type).name("response").raw(state), type, offset, out);
    }

    private JsonText start(String type) {
        return new JsonText().object().field("type", type).field("sequence_number", sequence++);
    }

    private JsonText content(String type) {
        return start(type)
                .field("item_id", response.itemId())
                .field("output_index", 0)
                .field("content_index", 0);
    }

    private static void emit(JsonText json, String type, long offset, Frames<?> out) {
        out.event(offset, type, json.endObject().toString());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
