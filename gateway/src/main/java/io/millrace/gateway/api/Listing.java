package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import org.springframework.web.reactive.function.server.ServerRequest;

/** A page of a list of objects, as OpenAI's lists are paged: {@code limit}, {@code order}, {@code after}. */
final class Listing {

    private Listing() {}

    /**
     * The page that the query asks for; throws 400.
     *
     * @param newestFirst all objects
     */
    static <T> String page(
            ServerRequest request,
            List<T> newestFirst,
            int limitUsual,
            int limitMax,
            Function<T, String> id,
            Function<T, String> json) {
        List<T> all = new ArrayList<>(newestFirst);
        String order = request.queryParam("order").orElse("desc");
        if (!order.equals("asc") && !order.equals("desc")) {
            throw new ApiException(ApiError.invalid("order", "'order' must be \"asc\" or \"desc\"."));
        }
        if (order.equals("asc")) {
            Collections.reverse(all);
        }
        int limit = limit(request.queryParam("limit").orElse(Integer.toString(limitUsual)), limitMax);
        String after = request.queryParam("after").orElse("");
        int from = 0;
        if (!after.isEmpty()) {
            while (from < all.size() && !id.apply(all.get(from)).equals(after)) {
                from++;
            }
            if (from == all.size()) {
                throw new ApiException(ApiError.invalid("after", "'after' is no object of this list."));
            }
            from++;
        }
        List<T> page = all.subList(from, Math.min(all.size(), from + limit));
        JsonText out =
                new JsonText().object().field("object", "list").name("data").array();
        page.forEach(each -> out.raw(json.apply(each)));
        out.endArray().field("first_id", page.isEmpty() ? null : id.apply(page.getFirst()));
        out.field("last_id", page.isEmpty() ? null : id.apply(page.getLast()));
        return out.field("has_more", from + page.size() < all.size())
                .endObject()
                .toString();
    }

    private static int limit(String text, int most) {
        try {
            int limit = Integer.parseInt(text);
            if (limit >= 1 && limit <= most) {
                return limit;
            }
        } catch (NumberFormatException e) {
            // Told below.
        }
        throw new ApiException(ApiError.invalid("limit", "'limit' must be an integer from 1 to %,d.".formatted(most)));
    }
}
