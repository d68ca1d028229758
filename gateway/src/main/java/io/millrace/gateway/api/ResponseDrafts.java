package io.millrace.gateway.api;

import io.millrace.gateway.stream.Call;
import reactor.core.publisher.Mono;

/** From a body of {@code /v1/responses} to its draft, with the turns before it. Thread-safe. */
final class ResponseDrafts {

    private final ResponseRequests requests;
    private final EarlierResponses earlier;

    ResponseDrafts(ResponseRequests requests, EarlierResponses earlier) {
        this.requests = requests;
        this.earlier = earlier;
    }

    Mono<Draft> read(Json.Body body, String tenant) {
        String previous = ResponseRequests.previous(body);
        return previous == null
                ? Mono.fromSupplier(() -> requests.read(body, false, Conversation.NONE))
                : earlier.read(previous, tenant).map(before -> requests.read(body, false, before));
    }

    /**
     * The body of a {@code response.create}: it is always streamed.
     *
     * @param recent responses of the same connection, which need not be stored
     */
    Mono<Draft> readForSocket(Json.Body body, String tenant, RecentResponses recent) {
        String previous = ResponseRequests.previous(body);
        Conversation known = previous == null ? Conversation.NONE : recent.get(previous);
        return known == null
                ? earlier.read(String.valueOf(previous), tenant).map(before -> requests.read(body, true, before))
                : Mono.fromSupplier(() -> requests.read(body, true, known));
    }

    /** Keeps what a connection's response came to, when it is one to go on from. */
    void remember(Call call, String object, RecentResponses recent) {
        recent.put(call.apiId(), earlier.conversation(call, object));
    }
}
