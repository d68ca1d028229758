package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The mock model's template: each message as "role: content" on a line of its own, then "assistant:". */
final class MockRenderer implements PromptRenderer {

    @Override
    public String render(ChatInput chat, long createdMs) {
        JsonNode messages;
        try {
            messages = JsonMapper.shared()
                    .readTree(ToolMessages.asText(
                            chat.getMessagesJson(),
                            chat.getToolsJson(),
                            chat.getToolUse().getSingle(),
                            true));
        } catch (JacksonException e) {
            throw Refusal.invalid("messages", "messages is not JSON: " + e.getOriginalMessage());
        }
        if (!messages.isArray() || messages.isEmpty()) {
            throw Refusal.invalid("messages", "messages is not a list of at least one message.");
        }
        StringBuilder text = new StringBuilder();
        for (JsonNode message : messages.values()) {
            text.append(message.path("role").asString("")).append(": ");
            content(message.path("content"), text);
            text.append('\n');
        }
        if (chat.getContinueFinalMessage()) {
            text.setLength(text.length() - 1);
        } else if (chat.getAddGenerationPrompt()) {
            text.append("assistant:");
        }
        return text.toString();
    }

    private static void content(JsonNode content, StringBuilder text) {
        if (content.isString()) {
            text.append(content.asString());
        }
        for (JsonNode part : content.values()) {
            text.append(part.path("text").asString(""));
        }
    }
}
