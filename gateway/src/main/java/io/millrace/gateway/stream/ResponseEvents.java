package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Events of {@code /v1/responses}, numbered without gaps from 0. */
final class ResponseEvents implements Renderer {

    private final Progress progress;
    private final ResponseObject response;
    private final ItemEvents events = new ItemEvents();
    private final ResponseItems items;
    private boolean created;
    private long sequence;

    ResponseEvents(Call call) {
        this.progress = new Progress(call);
        this.response = new ResponseObject(call, progress);
        this.items = new ResponseItems(call, events);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        long offset = accepted.offset();
        events.to(out, offset);
        switch (record.getRecordCase()) {
            case ADMIT -> create(offset, out);
            case TOKENS -> {
                create(offset, out);
                items.accept(record.getTokens().getText(), record.getTokens().getLogprobsList());
            }
            case END -> end(record.getEnd(), offset, out);
            default -> {}
        }
    }

    private void create(long offset, Frames<?> out) {
        if (!created) {
            created = true;
            event("response.created", state("in_progress", null, null), offset, out);
            event("response.in_progress", state("in_progress", null, null), offset, out);
        }
    }

    private void end(End end, long offset, Frames<?> out) {
        create(offset, out);
        items.accept(end.getText(), List.of());
        String incomplete = ResponseObject.incomplete(end.getFinishReason());
        String status = incomplete == null ? "completed" : "incomplete";
        items.finish(status);
        event("response." + status, state(status, null, incomplete), offset, out);
    }

    /** Closes what is open; then a cut (deadline, cancellation) ends as incomplete, an error as failed. */
    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        events.to(out, offset);
        create(offset, out);
        items.cut("incomplete");
        if (error.status() == 504 || error.status() == 499) {
            event("response.incomplete", state("incomplete", null, error.code()), offset, out);
        } else {
            event("response.failed", state("failed", error, null), offset, out);
        }
    }

    private String state(String status, @Nullable ApiError error, @Nullable String incomplete) {
        return response.json(status, items.json(), error, incomplete);
    }

    private void event(String type, String state, long offset, Frames<?> out) {
        emit(start(type).name("response").raw(state), type, offset, out);
    }

    private JsonText start(String type) {
        return new JsonText().object().field("type", type).field("sequence_number", sequence++);
    }

    private static void emit(JsonText json, String type, long offset, Frames<?> out) {
        out.event(offset, type, json.endObject().toString());
    }

    /** Events of items: opened, more of them, closed. */
    private final class ItemEvents implements ResponseItems.Watcher {

        private @Nullable Frames<?> out;
        private long offset;

        void to(Frames<?> frames, long at) {
            out = frames;
            offset = at;
        }

        @Override
        public void opened(ResponseItem item) {
            send(
                    "response.output_item.added",
                    start("response.output_item.added")
                            .field("output_index", item.index())
                            .name("item")
                            .raw(item.opened()));
            if (item.kind() != ResponseItem.Kind.CALL) {
                part("response.content_part.added", item, false);
            }
        }

        @Override
        public void added(ResponseItem item, String piece, List<TokenLogprob> logprobs) {
            String type = type(item) + ".delta";
            JsonText json = place(type, item).field("delta", piece);
            send(type, item.kind() == ResponseItem.Kind.MESSAGE ? ResponseObject.logprobs(json, logprobs) : json);
        }

        @Override
        public void closed(ResponseItem item) {
            String type = type(item) + ".done";
            JsonText done = place(type, item);
            switch (item.kind()) {
                case CALL -> send(type, done.field("name", item.name()).field("arguments", item.text()));
                case REASONING -> send(type, done.field("text", item.text()));
                case MESSAGE -> send(type, ResponseObject.logprobs(done.field("text", item.text()), item.logprobs()));
            }
            if (item.kind() != ResponseItem.Kind.CALL) {
                part("response.content_part.done", item, true);
            }
            send(
                    "response.output_item.done",
                    start("response.output_item.done")
                            .field("output_index", item.index())
                            .name("item")
                            .raw(item.json()));
        }

        private static String type(ResponseItem item) {
            return switch (item.kind()) {
                case CALL -> "response.function_call_arguments";
                case REASONING -> "response.reasoning_text";
                case MESSAGE -> "response.output_text";
            };
        }

        private void part(String type, ResponseItem item, boolean begun) {
            send(type, place(type, item).name("part").raw(item.part(begun)));
        }

        private JsonText place(String type, ResponseItem item) {
            JsonText json = start(type).field("item_id", item.id()).field("output_index", item.index());
            return item.kind() == ResponseItem.Kind.CALL ? json : json.field("content_index", 0);
        }

        private void send(String type, JsonText json) {
            if (out != null) {
                emit(json, type, offset, out);
            }
        }
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
