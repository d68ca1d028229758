package io.millrace.gateway.api;

import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Sampling;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Anthropic's conversation as the chat messages that templates know: {@code system} first, tool results as messages of their own,
 * {@code tool_use} as tool calls. A conversation that ends with the assistant's words is continued.
 *
 * @param texts in order, for placement by prefix
 */
record MessageInput(ChatInput chat, List<Draft.Text> texts) {

    private static final Set<String> THINKING = Set.of("thinking", "redacted_thinking");

    private static final ToolFields TOOLS = new ToolFields(ToolFields.Form.MESSAGES);

    /**
     * Throws 400 naming the place of what is wrong.
     *
     * @param messagesMax most of them
     * @param sampling what the output is to be, read before
     */
    static MessageInput read(Fields body, int messagesMax, Sampling.Builder sampling) {
        JsonNode messages = Messages.list(body, "messages", messagesMax);
        var reader = new Reader();
        JsonNode system = body.get("system");
        if (system != null) {
            reader.plain("system", text(body, "system", system));
        }
        String last = "";
        for (int i = 0; i < messages.size(); i++) {
            String place = "messages[" + i + "]";
            if (!messages.get(i).isObject()) {
                throw body.wrong(place, "an object with 'role' and 'content'", messages.get(i));
            }
            last = reader.message(new Fields(messages.get(i), body.path(place)));
        }
        reader.answered();
        boolean continued = last.equals("assistant");
        ChatInput.Builder chat = ChatInput.newBuilder()
                .setMessagesJson(reader.json.endArray().toString())
                .setAddGenerationPrompt(!continued)
                .setContinueFinalMessage(continued)
                .setHideReasoning(thoughtless(body));
        TOOLS.read(body, "", sampling, chat);
        return new MessageInput(chat.build(), List.copyOf(reader.texts));
    }

    /** Whether the client wants no thoughts. Whether a model has any, and how long, is its template's affair. */
    private static boolean thoughtless(Fields body) {
        Fields thinking = body.object("thinking");
        if (thinking == null) {
            return false;
        }
        String type = thinking.string("type");
        if (type == null || !Set.of("enabled", "disabled", "adaptive").contains(type)) {
            throw thinking.invalid("type", "'thinking.type' must be enabled, disabled or adaptive.");
        }
        thinking.integer("budget_tokens", 1, Integer.MAX_VALUE);
        return type.equals("disabled");
    }

    private static final class Reader {

        private final JsonText json = new JsonText().array();
        private final List<Draft.Text> texts = new ArrayList<>();
        /** Ids of the assistant's last calls that have no result yet. */
        private final Set<String> open = new LinkedHashSet<>();

        /** The message that made them. */
        private @Nullable Fields calling;

        /** Throws 400 unless every call has its result. */
        void answered() {
            if (!open.isEmpty() && calling != null) {
                throw calling.invalid(
                        "content",
                        "'" + calling.path("content") + "' has the 'tool_use' '"
                                + shown(open.iterator().next())
                                + "', but no 'tool_result' for it stands right behind.");
            }
        }

        private static String shown(String id) {
            return id.length() > 60 ? id.substring(0, 60) + "…" : id;
        }

        void plain(String role, String text) {
            json.object().field("role", role).field("content", text).endObject();
            texts.add(new Draft.Text(role, text));
        }

        /** Its role. */
        String message(Fields message) {
            String role = message.string("role");
            if (role == null) {
                throw message.missing("role");
            }
            JsonNode content = message.get("content");
            if (content == null) {
                throw message.missing("content");
            }
            switch (role) {
                case "user" -> user(message, content);
                case "assistant" -> assistant(message, content);
                case "system" -> {
                    answered();
                    plain(role, text(message, "content", content));
                }
                default ->
                    throw message.invalid(
                            "role",
                            "'" + message.path("role") + "' is '" + role + "'; it must be user, assistant or system.");
            }
            return role;
        }

        private void user(Fields message, JsonNode content) {
            if (content.isString()) {
                answered();
                plain("user", content.stringValue());
                return;
            }
            List<String> words = new ArrayList<>();
            for (Fields block : blocks(message, content)) {
                if ("tool_result".equals(type(block))) {
                    result(block);
                } else {
                    words.add(text(block));
                }
            }
            if (!words.isEmpty()) {
                answered();
                plain("user", String.join("\n", words));
            }
        }

        private void result(Fields block) {
            String id = block.string("tool_use_id");
            if (id == null) {
                throw block.missing("tool_use_id");
            }
            if (!open.remove(id)) {
                throw block.invalid(
                        "tool_use_id",
                        "'" + block.path("tool_use_id") + "' is '" + shown(id)
                                + "', which is no 'tool_use' of the assistant's message before that waits for its result.");
            }
            block.bool("is_error", false);
            JsonNode content = block.get("content");
            String text = content == null ? "" : text(block, "content", content);
            json.object()
                    .field("role", "tool")
                    .field("tool_call_id", id)
                    .field("content", text)
                    .endObject();
            texts.add(new Draft.Text("tool", text));
        }

        private void assistant(Fields message, JsonNode content) {
            answered();
            calling = message;
            if (content.isString()) {
                plain("assistant", content.stringValue());
                return;
            }
            List<String> words = new ArrayList<>();
            List<String> thoughts = new ArrayList<>();
            JsonText calls = new JsonText().array();
            boolean any = false;
            for (Fields block : blocks(message, content)) {
                String type = type(block);
                if (type.equals("tool_use")) {
                    call(calls, block);
                    any = true;
                } else if (type.equals("thinking")) {
                    String thought = block.string("thinking");
                    thoughts.add(thought == null ? "" : thought);
                } else if (!THINKING.contains(type)) {
                    words.add(text(block));
                }
            }
            String text = String.join("\n", words);
            json.object().field("role", "assistant").field("content", text);
            if (!thoughts.isEmpty()) {
                json.field("reasoning_content", String.join("\n", thoughts));
            }
            if (any) {
                json.name("tool_calls").raw(calls.endArray().toString());
            }
            json.endObject();
            texts.add(new Draft.Text("assistant", any ? text + calls : text));
        }

        private void call(JsonText calls, Fields block) {
            String id = block.string("id");
            String name = block.string("name");
            if (id == null || name == null) {
                throw block.missing(id == null ? "id" : "name");
            }
            if (!open.add(id)) {
                throw block.invalid("id", "'" + block.path("id") + "' is the id of an earlier call.");
            }
            JsonNode input = block.get("input");
            if (input != null && !input.isObject()) {
                throw block.wrong("input", "an object", input);
            }
            calls.object()
                    .field("id", id)
                    .field("type", "function")
                    .name("function")
                    .object()
                    .field("name", name)
                    .field("arguments", input == null ? "{}" : input.toString())
                    .endObject()
                    .endObject();
        }
    }

    /** A string, or blocks of text. */
    private static String text(Fields holder, String name, JsonNode value) {
        if (value.isString()) {
            return value.stringValue();
        }
        return String.join(
                "\n", list(holder, name, value).stream().map(MessageInput::text).toList());
    }

    private static List<Fields> blocks(Fields message, JsonNode content) {
        return list(message, "content", content);
    }

    private static List<Fields> list(Fields holder, String name, JsonNode value) {
        if (!value.isArray()) {
            throw holder.wrong(name, "a string or a list of content blocks", value);
        }
        List<Fields> blocks = new ArrayList<>();
        for (int i = 0; i < value.size(); i++) {
            String place = name + "[" + i + "]";
            if (!value.get(i).isObject()) {
                throw holder.wrong(place, "a content block with 'type'", value.get(i));
            }
            blocks.add(new Fields(value.get(i), holder.path(place)));
        }
        return blocks;
    }

    private static String type(Fields block) {
        String type = block.string("type");
        if (type == null) {
            throw block.missing("type");
        }
        return type;
    }

    private static String text(Fields block) {
        String type = type(block);
        if (!type.equals("text")) {
            throw block.unsupported(
                    "type",
                    "'" + block.path("type") + "' is '" + type + "'; blocks of that type are not supported here.");
        }
        @Nullable String text = block.string("text");
        if (text == null) {
            throw block.missing("text");
        }
        return text;
    }
}
