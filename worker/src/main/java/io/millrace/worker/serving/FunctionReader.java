package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.text.grammar.GrammarSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Reads the functions that a chat may call. Stateless. */
final class FunctionReader {

    private static final String NOTHING = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .build();

    private FunctionReader() {}

    /** Those that may be called, in their order. */
    static List<GrammarSpec.Function> read(ChatInput chat) {
        Set<String> wanted = Set.copyOf(chat.getToolUse().getFunctionsList());
        List<GrammarSpec.Function> functions = new ArrayList<>();
        for (JsonNode tool : tools(chat)) {
            JsonNode function = tool.path("function");
            String name = function.path("name").asString("");
            if (wanted.contains(name)) {
                functions.add(new GrammarSpec.Function(
                        name,
                        parameters(function.path("parameters")),
                        function.path("strict").asBoolean(false)));
            }
        }
        if (functions.isEmpty()) {
            throw Refusal.invalid("tools", "tools has none of the functions that may be called.");
        }
        return functions;
    }

    /** Arguments are an object, whether the schema says so or not. */
    private static String parameters(JsonNode schema) {
        if (!schema.isObject()) {
            return NOTHING;
        }
        if (schema.has("type")) {
            return schema.toString();
        }
        ObjectNode typed = MAPPER.createObjectNode().put("type", "object");
        typed.setAll((ObjectNode) schema);
        return typed.toString();
    }

    /** The request's field that holds a function's schema. */
    static String place(Submit submit, String name) {
        String schema = switch (submit.getShape().getApi()) {
            case RESPONSES -> "parameters";
            case MESSAGES -> "input_schema";
            default -> "function.parameters";
        };
        int index = 0;
        for (JsonNode tool : tools(submit.getChat())) {
            if (tool.path("function").path("name").asString("").equals(name)) {
                return "tools[" + index + "]." + schema;
            }
            index++;
        }
        return "tools";
    }

    private static JsonNode tools(ChatInput chat) {
        try {
            return MAPPER.readTree(chat.getToolsJson());
        } catch (JacksonException e) {
            throw Refusal.invalid("tools", "tools is not JSON: " + e.getOriginalMessage());
        }
    }
}
