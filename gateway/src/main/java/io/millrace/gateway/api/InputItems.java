package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.JsonText;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** {@code /v1/responses/ID/input_items}: what a response was made from, a page at a time. */
final class InputItems {

    private static final int PAGE = 20;
    private static final int PAGE_MAX = 100;

    private InputItems() {}

    /**
     * Which of them.
     *
     * @param after the item behind which the page begins
     */
    record Page(int limit, boolean ascending, @Nullable String after) {

        /** Reads the query's values; throws 400. */
        static Page of(@Nullable String limit, @Nullable String order, @Nullable String after) {
            int size;
            try {
                size = limit == null ? PAGE : Integer.parseInt(limit);
            } catch (NumberFormatException e) {
                size = 0;
            }
            if (size < 1 || size > PAGE_MAX) {
                throw new ApiException(
                        ApiError.invalid("limit", "'limit' must be an integer from 1 to " + PAGE_MAX + "."));
            }
            if (order != null && !order.equals("asc") && !order.equals("desc")) {
                throw new ApiException(ApiError.invalid("order", "'order' must be \"asc\" or \"desc\"."));
            }
            return new Page(size, "asc".equals(order), after);
        }
    }

    /** The chat messages that a response was made from, those of earlier turns first, without its instructions. */
    static List<JsonNode> messages(Call call, Json json) {
        List<JsonNode> messages = new ArrayList<>();
        json.tree(call.first().getChat().getMessagesJson()).forEach(messages::add);
        JsonNode instructions = json.tree(call.shape().getExtraJson()).get("instructions");
        if (instructions != null
                && instructions.isString()
                && !instructions.stringValue().isEmpty()) {
            messages.removeFirst();
        }
        return messages;
    }

    /**
     * An item: a message, or one of its calls.
     *
     * @param call index among the message's calls; -1: what it says
     */
    private record Item(JsonNode message, int call) {}

    private static List<Item> items(Call call, Json json) {
        List<Item> items = new ArrayList<>();
        for (JsonNode message : messages(call, json)) {
            int calls = message.path("tool_calls").size();
            if (calls == 0 || !message.path("content").asString("").isEmpty()) {
                items.add(new Item(message, -1));
            }
            for (int i = 0; i < calls; i++) {
                items.add(new Item(message, i));
            }
        }
        return items;
    }

    /** The page as JSON; throws 400 for an {@code after} that is none of its items. */
    static String page(Call call, Json json, Page page) {
        List<Item> items = items(call, json);
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < items.size(); i++) {
            order.add(i);
        }
        if (!page.ascending()) {
            Collections.reverse(order);
        }
        int from = start(call, order, page.after());
        int to = Math.min(order.size(), from + page.limit());
        JsonText out =
                new JsonText().object().field("object", "list").name("data").array();
        for (int i : order.subList(from, to)) {
            item(out.object().field("id", id(call, i)), items.get(i));
        }
        out.endArray().field("first_id", from < to ? id(call, order.get(from)) : null);
        out.field("last_id", from < to ? id(call, order.get(to - 1)) : null);
        return out.field("has_more", to < order.size()).endObject().toString();
    }

    private static int start(Call call, List<Integer> order, @Nullable String after) {
        for (int i = 0; after != null && i < order.size(); i++) {
            if (id(call, order.get(i)).equals(after)) {
                return i + 1;
            }
        }
        if (after != null) {
            throw new ApiException(ApiError.invalid("after", "'after' is no input item of this response."));
        }
        return 0;
    }

    private static String id(Call call, int index) {
        return "msg_" + call.id().text() + "i%04d".formatted(index);
    }

    private static void item(JsonText out, Item item) {
        JsonNode message = item.message();
        String role = message.path("role").asString("");
        if (item.call() >= 0) {
            JsonNode call = message.path("tool_calls").path(item.call());
            out.field("type", "function_call")
                    .field("status", "completed")
                    .field("call_id", call.path("id").asString(""))
                    .field("name", call.path("function").path("name").asString(""))
                    .field("arguments", call.path("function").path("arguments").asString(""))
                    .endObject();
            return;
        }
        if (role.equals("tool")) {
            out.field("type", "function_call_output")
                    .field("status", "completed")
                    .field("call_id", message.path("tool_call_id").asString(""))
                    .field("output", message.path("content").asString(""))
                    .endObject();
            return;
        }
        out.field("type", "message")
                .field("status", "completed")
                .field("role", role)
                .name("content")
                .array()
                .object()
                .field("type", role.equals("assistant") ? "output_text" : "input_text")
                .field("text", message.path("content").asString(""));
        if (role.equals("assistant")) {
            out.name("annotations").array().endArray();
        }
        out.endObject().endArray().endObject();
    }
}
