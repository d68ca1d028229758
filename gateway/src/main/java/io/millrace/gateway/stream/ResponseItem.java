package io.millrace.gateway.stream;

import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** An item of a response's output, as far as it is known. Not thread-safe. */
final class ResponseItem {

    /** What an item may be. */
    enum Kind {
        MESSAGE("msg_"),
        REASONING("rs_"),
        CALL("fc_");

        private final String prefix;

        Kind(String prefix) {
            this.prefix = prefix;
        }
    }

    private final Kind kind;
    private final int index;
    private final String id;
    private final String callId;
    private final String name;
    private final StringBuilder text = new StringBuilder();
    private final List<TokenLogprob> logprobs = new ArrayList<>();
    private String status = "in_progress";

    /**
     * @param index among the items
     * @param callId of a call; empty for other kinds, as is {@code name}
     */
    ResponseItem(Kind kind, Call call, int index, String callId, String name) {
        this.kind = kind;
        this.index = index;
        // Derived, so that every gateway names it alike.
        this.id = kind.prefix + call.id().text() + "%04d".formatted(index);
        this.callId = callId;
        this.name = name;
    }

    Kind kind() {
        return kind;
    }

    int index() {
        return index;
    }

    String id() {
        return id;
    }

    String name() {
        return name;
    }

    /** What it says so far: text, reasoning, or arguments. */
    String text() {
        return text.toString();
    }

    List<TokenLogprob> logprobs() {
        return logprobs;
    }

    void add(String piece, List<TokenLogprob> more) {
        text.append(piece);
        logprobs.addAll(more);
    }

    void end(String how) {
        status = how;
    }

    /** Its only part of content, as it stands or before it began; not for calls. */
    String part(boolean begun) {
        JsonText json = new JsonText().object();
        if (kind == Kind.REASONING) {
            return json.field("type", "reasoning_text")
                    .field("text", begun ? text() : "")
                    .endObject()
                    .toString();
        }
        json.field("type", "output_text").field("text", begun ? text() : "");
        json.name("annotations").array().endArray();
        return ResponseObject.logprobs(json, begun ? logprobs : List.of())
                .endObject()
                .toString();
    }

    /** As it stands. */
    String json() {
        return json(status, true);
    }

    /** Before anything of it is known but its kind. */
    String opened() {
        return json("in_progress", false);
    }

    private String json(String shown, boolean begun) {
        JsonText json = new JsonText().object().field("id", id);
        switch (kind) {
            case CALL ->
                json.field("type", "function_call")
                        .field("status", shown)
                        .field("arguments", begun ? text() : "")
                        .field("call_id", callId)
                        .field("name", name);
            case REASONING -> {
                json.field("type", "reasoning")
                        .field("status", shown)
                        .name("summary")
                        .array();
                content(json.endArray(), begun);
            }
            case MESSAGE ->
                content(json.field("type", "message").field("status", shown).field("role", "assistant"), begun);
        }
        return json.endObject().toString();
    }

    private void content(JsonText json, boolean begun) {
        json.name("content").array();
        if (begun) {
            json.raw(part(true));
        }
        json.endArray();
    }
}
