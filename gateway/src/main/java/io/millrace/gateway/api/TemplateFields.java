package io.millrace.gateway.api;

import io.millrace.gateway.stream.JsonText;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** What a body gives to the chat template beside messages and tools. */
final class TemplateFields {

    static final Set<String> EFFORTS = Set.of("none", "minimal", "low", "medium", "high", "xhigh");

    private static final String EFFORT = "reasoning_effort";
    private static final String DOCUMENTS = "documents";
    private static final String KWARGS = "chat_template_kwargs";
    private static final List<String> VERBOSITIES = List.of("low", "medium", "high");

    /** Variables that bodies have fields for, or that would change what the template is. */
    private static final Map<String, String> RESERVED = Map.of(
            "messages", "is not taken: the conversation has a field of its own",
            "conversation", "is not taken: the conversation has a field of its own",
            "tools", "is not taken: tools have a field of their own",
            "add_generation_prompt", "is not taken: it is a field of its own beside 'messages'",
            "continue_final_message", "is not taken: it is a field of its own beside 'messages'",
            "chat_template", "cannot be given by a request",
            "tokenize", "cannot be given by a request");

    private TemplateFields() {}

    /**
     * A chat's variables as a JSON object; empty: none.
     *
     * @param slices its fields in the client's own characters
     */
    static String ofChat(Fields body, Map<String, String> slices) {
        if (body.has("chat_template")) {
            throw body.unsupported(
                    "chat_template", "A chat template of the client's own is not accepted by this server.");
        }
        oneOf(body, "verbosity", VERBOSITIES);
        String effort = body.string(EFFORT);
        if (effort != null && !EFFORTS.contains(effort)) {
            throw body.invalid(EFFORT, "'reasoning_effort' must be one of none, minimal, low, medium, high, xhigh.");
        }
        return variables(body, slices.getOrDefault(KWARGS, ""), effort, documents(body, slices));
    }

    private static void oneOf(Fields body, String name, List<String> values) {
        String value = body.string(name);
        if (value != null && !values.contains(value)) {
            throw body.invalid(name, "'" + name + "' must be one of " + String.join(", ", values) + ".");
        }
    }

    private static String documents(Fields body, Map<String, String> slices) {
        JsonNode documents = body.get(DOCUMENTS);
        if (documents == null) {
            return "";
        }
        if (!documents.isArray()) {
            throw body.wrong(DOCUMENTS, "a list of objects", documents);
        }
        for (int i = 0; i < documents.size(); i++) {
            if (!documents.get(i).isObject()) {
                throw body.wrong(DOCUMENTS + "[" + i + "]", "an object", documents.get(i));
            }
        }
        return slices.getOrDefault(DOCUMENTS, "[]");
    }

    /**
     * {@code chat_template_kwargs} and, where they do not name them themselves, the others.
     *
     * @param own the field in the client's own characters
     * @param effort null: none
     * @param documents as JSON; empty: none
     */
    static String variables(Fields body, String own, @Nullable String effort, String documents) {
        JsonNode variables = body.get(KWARGS);
        if (variables != null && !variables.isObject()) {
            throw body.wrong(KWARGS, "an object", variables);
        }
        JsonText out = new JsonText().object();
        if (variables != null && !variables.isEmpty()) {
            check(new Fields(variables, body.path(KWARGS)), variables);
            out.raw(own.substring(1, own.length() - 1));
        }
        if (effort != null && (variables == null || !variables.has(EFFORT))) {
            out.field(EFFORT, effort);
        }
        if (!documents.isEmpty() && (variables == null || !variables.has(DOCUMENTS))) {
            out.name(DOCUMENTS).raw(documents);
        }
        String all = out.endObject().toString();
        return all.equals("{}") ? "" : all;
    }

    private static void check(Fields fields, JsonNode variables) {
        for (String name : variables.propertyNames()) {
            String why = RESERVED.get(name);
            if (why != null) {
                throw fields.invalid(name, "'" + fields.path(name) + "' " + why + ".");
            }
        }
    }
}
