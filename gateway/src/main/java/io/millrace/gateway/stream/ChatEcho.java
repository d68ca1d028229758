package io.millrace.gateway.stream;

import io.millrace.shared.proto.ChatInput;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The last message of a chat, which comes back before the answer that goes on in its role, as vLLM's {@code echo} has it. */
final class ChatEcho {

    private ChatEcho() {}

    /** Its text; empty when it is not wanted, or another's. */
    static String of(Call call) {
        if (!call.first().getSampling().getEcho()) {
            return "";
        }
        ChatInput chat = call.first().getChat();
        JsonNode messages = JsonMapper.shared().readTree(chat.getMessagesJson());
        JsonNode last = messages.path(messages.size() - 1);
        boolean goesOn = !chat.getAddGenerationPrompt()
                || "assistant".equals(last.path("role").asString(""));
        return goesOn ? text(last.path("content")) : "";
    }

    private static String text(JsonNode content) {
        if (!content.isArray()) {
            return content.asString("");
        }
        List<String> parts = new ArrayList<>();
        content.forEach(part -> parts.add(part.path("text").asString("")));
        return String.join("\n", parts);
    }
}
