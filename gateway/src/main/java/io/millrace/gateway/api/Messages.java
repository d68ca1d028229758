package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Chat messages: known roles, text content. */
final class Messages {

    private static final Set<String> ROLES = Set.of("system", "developer", "user", "assistant", "tool");

    private Messages() {}

    /** A list of at least one; throws 400 for anything else, and for more than that. */
    static JsonNode list(Fields body, String name, int countMax) {
        JsonNode messages = body.get(name);
        if (messages == null) {
            throw body.missing(name);
        }
        if (!messages.isArray() || messages.isEmpty()) {
            throw body.wrong(name, "a list of at least one message", messages);
        }
        checkCount(body, name, messages.size(), countMax);
        return messages;
    }

    /** Throws 400 when a conversation has more messages than that; {@code name} is the field to change. */
    static void checkCount(Fields body, String name, int count, int countMax) {
        if (count > countMax) {
            throw new ApiException(ApiError.of(
                    400,
                    "too_many_messages",
                    body.path(name),
                    "[MR-GW-015] The conversation has %,d messages with '%s'; at most %,d are taken. Leave out or join old ones, or raise millrace.gateway.messages-max."
                            .formatted(count, body.path(name), countMax)));
        }
    }

    /** Checks them, and gives their texts; throws 400 naming the place of what is wrong. */
    static List<Draft.Text> read(Fields body, String name, int countMax) {
        JsonNode messages = list(body, name, countMax);
        List<Draft.Text> texts = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            String place = name + "[" + i + "]";
            JsonNode message = messages.get(i);
            if (!message.isObject()) {
                throw body.wrong(place, "an object with 'role' and 'content'", message);
            }
            texts.add(message(new Fields(message, body.path(place))));
        }
        return texts;
    }

    /** One message. */
    static Draft.Text message(Fields message) {
        String role = message.string("role");
        if (role == null) {
            throw message.missing("role");
        }
        if (!ROLES.contains(role)) {
            throw message.invalid(
                    "role",
                    "'" + message.path("role") + "' is '" + role
                            + "'; it must be one of system, developer, user, assistant, tool.");
        }
        JsonNode calls = message.get("tool_calls");
        if (calls != null && !calls.isArray()) {
            throw message.wrong("tool_calls", "a list", calls);
        }
        JsonNode content = message.get("content");
        if (content == null) {
            if (!"assistant".equals(role)) {
                throw message.missing("content");
            }
            return new Draft.Text(role, calls == null ? "" : calls.toString());
        }
        return new Draft.Text(role, text(message, "content", content));
    }

    /** The text of a field that is a string or a list of parts. */
    static String text(Fields message, String name, JsonNode content) {
        if (content.isString()) {
            return content.stringValue();
        }
        if (!content.isArray()) {
            throw message.wrong(name, "a string or a list of parts", content);
        }
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < content.size(); i++) {
            text.append(part(message, name + "[" + i + "]", content.get(i)));
        }
        return text.toString();
    }

    private static String part(Fields message, String place, JsonNode part) {
        if (!part.isObject()) {
            throw message.wrong(place, "a part with 'type' and 'text'", part);
        }
        Fields fields = new Fields(part, message.path(place));
        @Nullable String type = fields.string("type");
        if (type == null) {
            throw fields.missing("type");
        }
        String holder = type.equals("refusal") ? "refusal" : "text";
        if (!Set.of("text", "input_text", "output_text", "refusal").contains(type)) {
            throw message.unsupported(
                    place,
                    "'" + message.path(place) + "' is of type '" + type
                            + "'; only text parts are supported by this server.");
        }
        String text = fields.string(holder);
        if (text == null) {
            throw fields.missing(holder);
        }
        return text;
    }
}
