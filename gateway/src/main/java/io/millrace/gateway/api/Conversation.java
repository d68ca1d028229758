package io.millrace.gateway.api;

import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * What a response goes on from.
 *
 * @param id the response before, as the client knows it; null: there is none
 * @param messages chat messages that it was made from, without its instructions
 * @param output its output items
 * @param turns responses in the chain so far
 */
record Conversation(@Nullable String id, List<JsonNode> messages, List<JsonNode> output, int turns) {

    /** Nothing was said before. */
    static final Conversation NONE = new Conversation(null, List.of(), List.of(), 0);

    /** Longest chain of responses; the prompt's size is bounded as that of any body. */
    static final int TURNS_MAX = 1_000;

    /** Of everything that was said, about. */
    long characters() {
        long sum = 0;
        for (JsonNode each : messages) {
            sum += each.path("content").asString("").length() + 32L;
        }
        for (JsonNode each : output) {
            sum += each.toString().length();
        }
        return sum;
    }
}
