package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.ToolUse;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * What a body says of functions: {@code tools}, {@code tool_choice}, {@code parallel_tool_calls}, and Anthropic's {@code
 * disable_parallel_tool_use}. Whether a schema can be honoured, the worker finds out. Thread-safe.
 */
final class ToolFields {

    static final int TOOLS_MAX = 128;
    private static final Pattern NAME = Pattern.compile("[a-zA-Z0-9_-]{1,64}");
    private static final List<String> CHOICES = List.of("none", "auto", "required");
    private static final Set<String> TYPES = Set.of("auto", "any", "tool", "none");

    /** Where an interface keeps the parts of a function. */
    enum Form {
        /** In an object {@code function}, beside the type. */
        CHAT("parameters"),
        /** Beside the type. */
        RESPONSES("parameters"),
        /** Anthropic's: beside a type that may be left out. */
        MESSAGES("input_schema");

        private final String schema;

        Form(String schema) {
            this.schema = schema;
        }
    }

    private final Form form;

    ToolFields(Form form) {
        this.form = form;
    }

    /**
     * Reads them; nothing is set when the model is to call nothing.
     *
     * @param slice {@code tools} in the client's own characters; used by chats alone
     */
    void read(Fields body, String slice, Sampling.Builder sampling, ChatInput.Builder out) {
        boolean single = single(body);
        Map<String, Fields> tools = tools(body);
        ToolUse use = form == Form.MESSAGES ? chooseByType(body, tools) : choose(body, tools);
        if (use == null) {
            return;
        }
        if (use.getRequired() && sampling.hasGrammar()) {
            throw body.invalid(
                    use.getParam(),
                    "'" + use.getParam() + "' demands a call, but '"
                            + sampling.getGrammar().getParam()
                            + "' another form of the output; give only one of them.");
        }
        out.setToolUse(use.toBuilder().setSingle(single));
        out.setToolsJson(form == Form.CHAT ? slice : asChat(tools));
    }

    private boolean single(Fields body) {
        if (form == Form.MESSAGES) {
            Fields choice = body.object("tool_choice");
            return choice != null && choice.bool("disable_parallel_tool_use", false);
        }
        return !body.bool("parallel_tool_calls", true);
    }

    private Map<String, Fields> tools(Fields body) {
        Map<String, Fields> tools = new LinkedHashMap<>();
        JsonNode list = body.get("tools");
        if (list == null) {
            return tools;
        }
        if (!list.isArray()) {
            throw body.wrong("tools", "a list", list);
        }
        if (list.size() > TOOLS_MAX) {
            throw body.invalid(
                    "tools", "'tools' has %,d entries; at most %,d are taken.".formatted(list.size(), TOOLS_MAX));
        }
        for (int i = 0; i < list.size(); i++) {
            Fields function = function(body, "tools[" + i + "]", list.get(i));
            String name = name(function);
            if (tools.put(name, function) != null) {
                throw function.invalid(
                        "name", "'" + function.path("name") + "' is '" + name + "', the name of an earlier function.");
            }
            function.string("description");
            function.bool("strict", false);
            parameters(function);
        }
        return tools;
    }

    /** The object that has the name, of a tool or of a choice. */
    private Fields function(Fields body, String place, JsonNode tool) {
        if (!tool.isObject()) {
            throw body.wrong(place, "an object", tool);
        }
        Fields fields = new Fields(tool, body.path(place));
        String type = fields.string("type");
        if (form == Form.MESSAGES) {
            if (type != null && !type.equals("custom")) {
                throw fields.unsupported(
                        "type",
                        "'" + fields.path("type") + "' is '" + type
                                + "'; only tools of the client's own are supported.");
            }
            return fields;
        }
        if (type == null) {
            throw fields.missing("type");
        }
        if (!type.equals("function")) {
            throw fields.unsupported(
                    "type",
                    "'" + fields.path("type") + "' is '" + type + "'; only tools of type 'function' are supported.");
        }
        if (form == Form.RESPONSES) {
            return fields;
        }
        JsonNode function = fields.get("function");
        if (function == null) {
            throw fields.missing("function");
        }
        if (!function.isObject()) {
            throw fields.wrong("function", "an object with a 'name'", function);
        }
        return new Fields(function, fields.path("function"));
    }

    private static String name(Fields function) {
        String name = function.string("name");
        if (name == null) {
            throw function.missing("name");
        }
        if (!NAME.matcher(name).matches()) {
            throw function.invalid(
                    "name", "'" + function.path("name") + "' must be 1 to 64 letters, digits, underscores and dashes.");
        }
        return name;
    }

    private void parameters(Fields function) {
        JsonNode parameters = function.get(form.schema);
        if (parameters == null) {
            if (form == Form.MESSAGES) {
                throw function.missing(form.schema);
            }
            return;
        }
        JsonNode type = parameters.get("type");
        boolean object = type == null || type.isString() && type.stringValue().equals("object");
        if (!parameters.isObject() || !object) {
            throw function.invalid(
                    form.schema, "'" + function.path(form.schema) + "' must be a JSON schema of type \"object\".");
        }
    }

    /** Null: the model calls nothing. */
    private @Nullable ToolUse choose(Fields body, Map<String, Fields> tools) {
        JsonNode choice = body.get("tool_choice");
        ToolUse.Builder use = ToolUse.newBuilder().setParam("tool_choice");
        if (choice == null || choice.isString()) {
            String mode = choice == null ? "auto" : choice.stringValue();
            if (!CHOICES.contains(mode)) {
                throw body.invalid(
                        "tool_choice",
                        "'tool_choice' must be \"none\", \"auto\", \"required\" or name a function, not '" + mode
                                + "'.");
            }
            if (mode.equals("required") && tools.isEmpty()) {
                throw withoutTools(body);
            }
            use.setRequired(mode.equals("required")).addAllFunctions(tools.keySet());
            return tools.isEmpty() || mode.equals("none") ? null : use.build();
        }
        if (!choice.isObject()) {
            throw body.wrong("tool_choice", "\"none\", \"auto\", \"required\" or an object", choice);
        }
        if (tools.isEmpty()) {
            throw withoutTools(body);
        }
        Fields fields = new Fields(choice, body.path("tool_choice"));
        if ("allowed_tools".equals(fields.string("type"))) {
            return allowed(fields, tools, use);
        }
        return use.setRequired(true)
                .addFunctions(known(function(body, "tool_choice", choice), tools))
                .build();
    }

    /** As Anthropic has it, an object with a type; null: the model calls nothing. */
    private static @Nullable ToolUse chooseByType(Fields body, Map<String, Fields> tools) {
        Fields choice = body.object("tool_choice");
        String type = choice == null ? "auto" : choice.string("type");
        if (choice != null && (type == null || !TYPES.contains(type))) {
            throw choice.invalid("type", "'tool_choice.type' must be auto, any, tool or none.");
        }
        boolean required = "any".equals(type) || "tool".equals(type);
        if (tools.isEmpty() || "none".equals(type)) {
            if (required) {
                throw withoutTools(body);
            }
            return null;
        }
        ToolUse.Builder use = ToolUse.newBuilder().setParam("tool_choice").setRequired(required);
        return choice != null && "tool".equals(type)
                ? use.addFunctions(known(choice, tools)).build()
                : use.addAllFunctions(tools.keySet()).build();
    }

    /** Some of the tools, none or at least one of which is to be called. */
    private ToolUse allowed(Fields choice, Map<String, Fields> tools, ToolUse.Builder use) {
        Fields holder = choice;
        if (form == Form.CHAT) {
            JsonNode inner = choice.get("allowed_tools");
            if (inner == null || !inner.isObject()) {
                throw choice.missing("allowed_tools");
            }
            holder = new Fields(inner, choice.path("allowed_tools"));
        }
        String mode = holder.string("mode");
        if (mode == null || !Set.of("auto", "required").contains(mode)) {
            throw holder.invalid("mode", "'" + holder.path("mode") + "' must be \"auto\" or \"required\".");
        }
        JsonNode list = holder.get("tools");
        if (list == null || !list.isArray() || list.isEmpty()) {
            throw holder.invalid("tools", "'" + holder.path("tools") + "' must be a list of at least one tool.");
        }
        Set<String> names = new LinkedHashSet<>();
        for (int i = 0; i < list.size(); i++) {
            names.add(known(function(holder, "tools[" + i + "]", list.get(i)), tools));
        }
        return use.setRequired(mode.equals("required")).addAllFunctions(names).build();
    }

    private static String known(Fields function, Map<String, Fields> tools) {
        String name = name(function);
        if (!tools.containsKey(name)) {
            throw function.invalid(
                    "name", "'" + function.path("name") + "' is '" + name + "', which is none of 'tools'.");
        }
        return name;
    }

    private static ApiException withoutTools(Fields body) {
        return body.invalid("tool_choice", "'tool_choice' demands a call, but there are no 'tools'.");
    }

    /** The tools as chat templates expect them. */
    private String asChat(Map<String, Fields> tools) {
        JsonText json = new JsonText().array();
        tools.forEach((name, tool) -> {
            json.object().field("type", "function").name("function").object().field("name", name);
            String description = tool.string("description");
            if (description != null) {
                json.field("description", description);
            }
            JsonNode parameters = tool.get(form.schema);
            if (parameters != null) {
                json.name("parameters").raw(parameters.toString());
            }
            if (tool.bool("strict", false)) {
                json.field("strict", true);
            }
            json.endObject().endObject();
        });
        return json.endArray().toString();
    }
}
