package io.millrace.worker.serving;

import io.millrace.shared.output.ToolFormat;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Puts calls and their results into messages, as a template wants them, or as plain text. Stateless. */
final class ToolMessages {

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .build();
    private static final int MISTRAL_ID = 9;

    private ToolMessages() {}

    /** Whether there is anything to do: some message has a call or a result. */
    static boolean needed(String messages) {
        return messages.contains("tool");
    }

    /**
     * For a template that knows calls.
     *
     * @param several whether it takes more than one in a message; otherwise each is a message of its own, with its result behind it
     */
    static String forTemplate(String messages, TemplateTraits.Calls way, boolean several, ToolFormat format) {
        ArrayNode all = several ? parse(messages) : apart(parse(messages));
        Map<String, String> names = new TreeMap<>();
        for (JsonNode node : all) {
            if (!(node instanceof ObjectNode message)) {
                continue;
            }
            if (message.get("tool_calls") instanceof ArrayNode calls && !calls.isEmpty()) {
                calls.forEach(call -> call(call, way, format, names));
                if (message.path("content").isMissingNode()
                        || message.path("content").isNull()
                        || message.path("content").asString("x").isEmpty()) {
                    message.set("content", parseValue(way.content()));
                }
            } else if (message.get("tool_calls") instanceof ArrayNode) {
                message.remove("tool_calls");
            }
            if (message.path("role").asString("").equals("tool")) {
                String id = message.path("tool_call_id").asString("");
                if (!message.has("name") && names.containsKey(id)) {
                    message.put("name", names.get(id));
                }
                message.put("tool_call_id", id(id, format));
            }
        }
        return all.toString();
    }

    private static ArrayNode apart(ArrayNode messages) {
        ArrayNode out = MAPPER.createArrayNode();
        for (int i = 0; i < messages.size(); i++) {
            JsonNode message = messages.get(i);
            JsonNode calls = message.path("tool_calls");
            if (calls.size() < 2) {
                out.add(message);
                continue;
            }
            Map<String, JsonNode> results = new HashMap<>();
            while (i + 1 < messages.size()
                    && messages.get(i + 1).path("role").asString("").equals("tool")) {
                JsonNode result = messages.get(++i);
                results.put(result.path("tool_call_id").asString(""), result);
            }
            String content = text(message.path("content"));
            for (JsonNode call : calls) {
                ObjectNode one =
                        MAPPER.createObjectNode().put("role", "assistant").put("content", content);
                one.putArray("tool_calls").add(call);
                out.add(one);
                JsonNode result = results.get(call.path("id").asString(""));
                if (result != null) {
                    out.add(result);
                }
                content = "";
            }
        }
        return out;
    }

    private static void call(JsonNode node, TemplateTraits.Calls way, ToolFormat format, Map<String, String> names) {
        if (!(node instanceof ObjectNode call) || !(call.get("function") instanceof ObjectNode function)) {
            return;
        }
        String id = call.path("id").asString("");
        names.put(id, function.path("name").asString(""));
        call.put("id", id(id, format));
        call.put("type", "function");
        JsonNode arguments = function.get("arguments");
        if (way.object() && arguments != null && arguments.isString()) {
            JsonNode object = object(arguments.stringValue());
            if (object != null) {
                function.set("arguments", object);
            }
        }
    }

    /** Arguments as the object they are; null: they are something else. */
    private static @Nullable JsonNode object(String arguments) {
        try {
            JsonNode value = arguments.isBlank() ? MAPPER.createObjectNode() : MAPPER.readTree(arguments);
            return value != null && value.isObject() ? value : null;
        } catch (JacksonException e) {
            return null;
        }
    }

    /** Mistral's templates take ids of nine letters and digits only. */
    private static String id(String id, ToolFormat format) {
        if (!format.isMistral() || id.matches("[a-zA-Z0-9]{" + MISTRAL_ID + "}")) {
            return id;
        }
        String digits = "00000000" + Integer.toHexString(id.hashCode());
        return "c" + digits.substring(digits.length() - MISTRAL_ID + 1);
    }

    /**
     * For a template that knows none: instructions to the system, calls as an assistant's text, results as a user's.
     *
     * @param tools JSON array of what may be called; empty: nothing
     * @param system whether the template takes messages of the system
     */
    static String asText(String messages, String tools, boolean single, boolean system) {
        List<ObjectNode> out = new ArrayList<>();
        Map<String, String> names = new TreeMap<>();
        for (JsonNode node : parse(messages)) {
            if (node instanceof ObjectNode message) {
                add(plain(message, names), message.path("role").asString("").equals("tool"), out);
            }
        }
        if (!tools.isEmpty()) {
            instruct(ToolPrompt.text(parse(tools), single), system, out);
        }
        ArrayNode all = MAPPER.createArrayNode();
        out.forEach(all::add);
        return all.toString();
    }

    private static ObjectNode plain(ObjectNode message, Map<String, String> names) {
        ObjectNode plain = MAPPER.createObjectNode();
        String role = message.path("role").asString("");
        if (role.equals("tool")) {
            String name = names.getOrDefault(message.path("tool_call_id").asString(""), "");
            return plain.put("role", "user").put("content", ToolPrompt.result(name, text(message.path("content"))));
        }
        if (!(message.get("tool_calls") instanceof ArrayNode calls) || calls.isEmpty()) {
            plain.setAll(message);
            plain.remove("tool_calls");
            return plain;
        }
        StringBuilder text = new StringBuilder(text(message.path("content")));
        for (JsonNode call : calls) {
            JsonNode function = call.path("function");
            names.put(call.path("id").asString(""), function.path("name").asString(""));
            JsonNode arguments = object(function.path("arguments").asString("{}"));
            ObjectNode written =
                    MAPPER.createObjectNode().put("name", function.path("name").asString(""));
            written.set("arguments", arguments == null ? function.path("arguments") : arguments);
            text.append(text.isEmpty() ? "" : "\n").append(written);
        }
        return plain.put("role", role).put("content", text.toString());
    }

    /** Results of one turn are one message, with what the user says next: many templates want user and assistant in turn. */
    private static void add(ObjectNode message, boolean result, List<ObjectNode> out) {
        if (message.path("role").asString("").equals("user") && !out.isEmpty()) {
            ObjectNode last = out.getLast();
            boolean both = last.path("role").asString("").equals("user");
            if (both && (result || text(last.path("content")).startsWith(ToolPrompt.RESULT))) {
                last.put("content", text(last.path("content")) + "\n" + text(message.path("content")));
                return;
            }
        }
        out.add(message);
    }

    private static void instruct(String text, boolean system, List<ObjectNode> out) {
        ObjectNode first = out.isEmpty() ? null : out.getFirst();
        String role = first == null ? "" : first.path("role").asString("");
        boolean isSystem = role.equals("system") || role.equals("developer");
        if (first != null && (isSystem || !system && role.equals("user"))) {
            first.put(
                    "content",
                    isSystem
                            ? text(first.path("content")) + "\n\n" + text
                            : text + "\n\n" + text(first.path("content")));
        } else {
            out.addFirst(MAPPER.createObjectNode()
                    .put("role", system ? "system" : "user")
                    .put("content", text));
        }
    }

    private static String text(JsonNode content) {
        if (!content.isArray()) {
            return content.asString("");
        }
        StringBuilder text = new StringBuilder();
        content.forEach(part -> text.append(part.path("text").asString("")));
        return text.toString();
    }

    private static ArrayNode parse(String json) {
        return parseValue(json) instanceof ArrayNode array ? array : MAPPER.createArrayNode();
    }

    private static JsonNode parseValue(String json) {
        try {
            return MAPPER.readTree(json);
        } catch (JacksonException e) {
            throw Refusal.invalid("messages", "messages is not JSON: " + e.getOriginalMessage());
        }
    }
}
