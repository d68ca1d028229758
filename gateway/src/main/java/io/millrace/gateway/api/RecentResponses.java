package io.millrace.gateway.api;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The last responses of one connection, for the turns that follow on it: those that are not stored are nowhere else. The oldest go
 * when there are too many, or their texts too long. Thread-safe.
 */
final class RecentResponses {

    static final int COUNT_MAX = 32;

    private final Map<String, Conversation> conversations = new LinkedHashMap<>();
    private final long charactersMax;
    private long characters;

    RecentResponses(long charactersMax) {
        this.charactersMax = charactersMax;
    }

    synchronized @Nullable Conversation get(String id) {
        return conversations.get(id);
    }

    synchronized void put(String id, Conversation conversation) {
        forget(id);
        conversations.put(id, conversation);
        characters += conversation.characters();
        while (conversations.size() > COUNT_MAX || characters > charactersMax) {
            forget(conversations.keySet().iterator().next());
        }
    }

    private void forget(String id) {
        Conversation gone = conversations.remove(id);
        if (gone != null) {
            characters -= gone.characters();
        }
    }
}
