package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * Puts the items of a response's input into chat messages: what an assistant thought, said and called is one message, each result another.
 * Not thread-safe.
 */
final class ResponseInput {

    /** A call that has no result yet. */
    private record Called(String name, String arguments) {}

    private final JsonText json = new JsonText().array();
    private final List<Draft.Text> texts = new ArrayList<>();
    private final StringBuilder thought = new StringBuilder();
    private final StringBuilder said = new StringBuilder();
    private final Map<String, Called> called = new LinkedHashMap<>();
    private final Map<String, String> open = new LinkedHashMap<>();
    private boolean assistant;

    /** A message that is in the form of chats already. */
    void chat(JsonNode message, Fields fields) {
        json.raw(message.toString());
        texts.add(Messages.message(fields));
    }

    /** A message of a role. */
    void add(String role, String text) {
        json.object().field("role", role).field("content", text).endObject();
        texts.add(new Draft.Text(role, text));
    }

    /** What the user says, in place of items. */
    void user(Fields body, String text) {
        flush();
        if (!open.isEmpty()) {
            throw withoutResult(body.path("input"));
        }
        add("user", text);
    }

    /** An item; throws 400 naming its place. */
    void item(Fields body, String place, JsonNode item) {
        if (!item.isObject()) {
            throw body.wrong(place, "an object", item);
        }
        Fields fields = new Fields(item, body.path(place));
        String type = fields.string("type");
        switch (type == null ? "message" : type) {
            case "message" -> message(fields);
            case "reasoning" -> reasoning(item);
            case "function_call" -> call(fields);
            case "function_call_output" -> result(fields);
            default ->
                throw fields.unsupported(
                        "type",
                        "'" + place + "' is of type '" + type
                                + "'; messages, reasoning, function_call and function_call_output are supported.");
        }
    }

    private void message(Fields fields) {
        Draft.Text text = Messages.message(fields);
        if (text.role().equals("tool")) {
            throw fields.invalid(
                    "role",
                    "'" + fields.path("role")
                            + "' is 'tool'; on this endpoint results are items of type 'function_call_output'.");
        }
        if (!text.role().equals("assistant")) {
            flush();
            answered(fields);
            add(text.role(), text.text());
            return;
        }
        if (!said.isEmpty() && called.isEmpty()) {
            flush();
        }
        assistant = true;
        said.append(text.text());
    }

    private void reasoning(JsonNode item) {
        JsonNode parts = item.path("content").isEmpty() ? item.path("summary") : item.path("content");
        if (!said.isEmpty() && called.isEmpty()) {
            flush();
        }
        parts.forEach(part -> thought.append(part.path("text").asString("")));
    }

    private void call(Fields fields) {
        String id = required(fields, "call_id");
        String name = required(fields, "name");
        String arguments = fields.string("arguments");
        if (arguments == null) {
            throw fields.missing("arguments");
        }
        if (called.containsKey(id) || open.containsKey(id)) {
            throw fields.invalid("call_id", "'" + fields.path("call_id") + "' is the id of an earlier call.");
        }
        if (!open.isEmpty()) {
            answered(fields);
        }
        assistant = true;
        called.put(id, new Called(name, arguments));
    }

    private static String required(Fields fields, String name) {
        String value = fields.string(name);
        if (value == null) {
            throw fields.missing(name);
        }
        if (value.isEmpty()) {
            throw fields.invalid(name, "'" + fields.path(name) + "' is empty.");
        }
        return value;
    }

    private void result(Fields fields) {
        String id = required(fields, "call_id");
        JsonNode output = fields.get("output");
        if (output == null) {
            throw fields.missing("output");
        }
        flush();
        if (open.remove(id) == null) {
            throw fields.invalid(
                    "call_id",
                    "No tool call found for function call output with call_id '" + shown(id)
                            + "'; it must come before.");
        }
        String text = Messages.text(fields, "output", output);
        json.object()
                .field("role", "tool")
                .field("tool_call_id", id)
                .field("content", text)
                .endObject();
        texts.add(new Draft.Text("tool", text));
    }

    private void flush() {
        if (assistant) {
            json.object().field("role", "assistant");
            json.field("content", said.isEmpty() && !called.isEmpty() ? null : said.toString());
            if (!thought.isEmpty()) {
                json.field("reasoning_content", thought.toString());
            }
            if (!called.isEmpty()) {
                json.name("tool_calls").array();
                called.forEach((id, call) -> {
                    json.object()
                            .field("id", id)
                            .field("type", "function")
                            .name("function")
                            .object();
                    json.field("name", call.name()).field("arguments", call.arguments());
                    json.endObject().endObject();
                    open.put(id, call.name());
                });
                json.endArray();
            }
            json.endObject();
            StringBuilder text = new StringBuilder(said);
            called.values().forEach(call -> text.append(call.name()).append(call.arguments()));
            texts.add(new Draft.Text("assistant", text.toString()));
        }
        assistant = false;
        thought.setLength(0);
        said.setLength(0);
        called.clear();
    }

    private void answered(Fields fields) {
        if (!open.isEmpty()) {
            throw withoutResult(fields.path("").replaceAll("\\.$", ""));
        }
    }

    private ApiException withoutResult(String param) {
        return new ApiException(ApiError.invalid(
                param,
                "No tool output found for function call '"
                        + shown(open.keySet().iterator().next()) + "'."));
    }

    private static String shown(String id) {
        return id.length() > 60 ? id.substring(0, 60) + "…" : id;
    }

    /** All of them, as JSON; throws 400 when a call has no result, or there is none. */
    String messages() {
        flush();
        if (!open.isEmpty()) {
            throw withoutResult("input");
        }
        if (texts.isEmpty()) {
            throw new ApiException(ApiError.invalid("input", "'input' holds no message; at least one is needed."));
        }
        return json.endArray().toString();
    }

    /** Their texts, in order. */
    List<Draft.Text> texts() {
        return texts;
    }
}
