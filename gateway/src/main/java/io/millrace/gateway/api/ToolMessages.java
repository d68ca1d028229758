package io.millrace.gateway.api;

import java.util.LinkedHashSet;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** The order of calls and results among chat messages: each call of an assistant's is answered before anybody says anything else. */
final class ToolMessages {

    private static final int CALLS_MAX = 128;

    private final Fields body;
    /** Ids of the calls of the last assistant, and those of them that have no result yet. */
    private Set<String> calls = Set.of();

    private Set<String> open = Set.of();
    private String place = "";

    private ToolMessages(Fields body) {
        this.body = body;
    }

    /** Throws 400 naming the place of what is wrong. The messages are objects with roles. */
    static void check(Fields body, String name) {
        JsonNode messages = body.get(name);
        ToolMessages check = new ToolMessages(body);
        for (int i = 0; messages != null && i < messages.size(); i++) {
            check.message(name + "[" + i + "]", messages.get(i));
        }
        check.nothingOpen();
    }

    private void message(String at, JsonNode node) {
        Fields message = new Fields(node, body.path(at));
        if ("tool".equals(message.string("role"))) {
            result(message);
            return;
        }
        nothingOpen();
        calls = Set.of();
        JsonNode made = message.get("tool_calls");
        if (made == null || made.isEmpty()) {
            return;
        }
        if (!"assistant".equals(message.string("role"))) {
            throw message.invalid("tool_calls", "'" + message.path("tool_calls") + "' may only be an assistant's.");
        }
        if (made.size() > CALLS_MAX) {
            throw message.invalid(
                    "tool_calls",
                    "'%s' has %,d entries; at most %,d are taken."
                            .formatted(message.path("tool_calls"), made.size(), CALLS_MAX));
        }
        place = at;
        calls = new LinkedHashSet<>();
        for (int i = 0; i < made.size(); i++) {
            String id = call(message, "tool_calls[" + i + "]", made.get(i));
            if (!calls.add(id)) {
                throw message.invalid(
                        "tool_calls[" + i + "].id",
                        "'" + message.path("tool_calls[" + i + "].id") + "' is the id of an earlier call.");
            }
        }
        open = new LinkedHashSet<>(calls);
    }

    private static String call(Fields message, String at, JsonNode node) {
        if (!node.isObject()) {
            throw message.wrong(at, "an object with 'id' and 'function'", node);
        }
        Fields call = new Fields(node, message.path(at));
        String id = required(call, "id");
        String type = call.string("type");
        if (type != null && !type.equals("function")) {
            throw call.unsupported("type", "'" + call.path("type") + "' must be \"function\".");
        }
        JsonNode inner = call.get("function");
        if (inner == null) {
            throw call.missing("function");
        }
        if (!inner.isObject()) {
            throw call.wrong("function", "an object with 'name' and 'arguments'", inner);
        }
        Fields function = new Fields(inner, call.path("function"));
        required(function, "name");
        if (function.string("arguments") == null) {
            throw function.missing("arguments");
        }
        return id;
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

    private void result(Fields message) {
        String id = message.string("tool_call_id");
        if (id == null) {
            throw message.missing("tool_call_id");
        }
        if (!open.isEmpty() && open.remove(id)) {
            return;
        }
        String why = calls.contains(id) ? "has its result already" : "is no call of the assistant's message before";
        throw message.invalid(
                "tool_call_id", "'" + message.path("tool_call_id") + "' is '" + shown(id) + "', which " + why + ".");
    }

    private void nothingOpen() {
        if (!open.isEmpty()) {
            throw body.invalid(
                    place,
                    "'" + body.path(place)
                            + "' calls functions, but no message of role 'tool' right behind it has the result of '"
                            + shown(open.iterator().next()) + "'.");
        }
    }

    private static String shown(String id) {
        return id.length() > 60 ? id.substring(0, 60) + "…" : id;
    }
}
