package io.millrace.gateway.api;

import io.millrace.gateway.stream.JsonText;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Anthropic's {@code tools} and {@code tool_choice} as the functions that templates know. */
final class MessageTools {

    private MessageTools() {}

    /** The tools that the template is to see, as JSON; empty when there are none; throws 400. */
    static String json(Fields body) {
        @Nullable JsonNode tools = body.get("tools");
        String choice = choice(body);
        if (tools == null || tools.isEmpty()) {
            return "";
        }
        if (!tools.isArray()) {
            throw body.wrong("tools", "a list", tools);
        }
        JsonText json = new JsonText().array();
        for (int i = 0; i < tools.size(); i++) {
            String place = "tools[" + i + "]";
            if (!tools.get(i).isObject()) {
                throw body.wrong(place, "an object", tools.get(i));
            }
            tool(json, new Fields(tools.get(i), body.path(place)));
        }
        return choice.equals("none") ? "" : json.endArray().toString();
    }

    private static String choice(Fields body) {
        Fields choice = body.object("tool_choice");
        if (choice == null) {
            return "auto";
        }
        String type = choice.string("type");
        choice.bool("disable_parallel_tool_use", false);
        if (type == null || !Set.of("auto", "none").contains(type)) {
            throw choice.unsupported(
                    "type", "'tool_choice.type' may be auto or none; this server cannot force a tool yet.");
        }
        return type;
    }

    private static void tool(JsonText json, Fields tool) {
        String type = tool.string("type");
        if (type != null && !type.equals("custom")) {
            throw tool.unsupported(
                    "type",
                    "'" + tool.path("type") + "' is '" + type + "'; only tools of the client's own are supported.");
        }
        String name = tool.string("name");
        if (name == null) {
            throw tool.missing("name");
        }
        JsonNode schema = tool.get("input_schema");
        if (schema == null) {
            throw tool.missing("input_schema");
        }
        if (!schema.isObject()) {
            throw tool.wrong("input_schema", "an object", schema);
        }
        String description = tool.string("description");
        json.object().field("type", "function").name("function").object().field("name", name);
        if (description != null) {
            json.field("description", description);
        }
        json.name("parameters").raw(schema.toString()).endObject().endObject();
    }
}
