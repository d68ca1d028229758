package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;

/**
 * A conversation and its shorter forms, in which the oldest turns are left out whole: a turn begins with a message of the user, and
 * the system messages before the first one stay. Immutable.
 */
final class Turns {

    private static final Set<String> SYSTEM = Set.of("system", "developer");

    private final ChatInput chat;
    private final List<JsonNode> messages = new ArrayList<>();
    private final int head;
    /** Where each turn but the first begins. */
    private final List<Integer> starts = new ArrayList<>();

    /** Messages that are no list of objects are left as they are, for the template to refuse. */
    Turns(ChatInput chat) {
        this.chat = chat;
        try {
            JsonMapper.shared().readTree(chat.getMessagesJson()).forEach(messages::add);
        } catch (JacksonException e) {
            messages.clear();
        }
        int system = 0;
        while (system < messages.size() && SYSTEM.contains(role(system))) {
            system++;
        }
        this.head = system;
        for (int i = head + 1; i < messages.size(); i++) {
            if (role(i).equals("user")) {
                starts.add(i);
            }
        }
    }

    private String role(int index) {
        return messages.get(index).path("role").asString("");
    }

    /** Most turns that can be left out: at least one stays. */
    int droppable() {
        return starts.size();
    }

    /** The conversation without so many of its oldest turns. */
    ChatInput without(int turns) {
        if (turns == 0) {
            return chat;
        }
        ArrayNode kept = JsonMapper.shared().createArrayNode();
        kept.addAll(messages.subList(0, head));
        kept.addAll(messages.subList(starts.get(turns - 1), messages.size()));
        return chat.toBuilder().setMessagesJson(kept.toString()).build();
    }
}
