package io.millrace.gateway.api;

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
        return read(body, tenant, false);
    }

    /** The body of a {@code response.create}: it is always streamed. */
    Mono<Draft> readForSocket(Json.Body body, String tenant) {
        return read(body, tenant, true);
    }

    private Mono<Draft> read(Json.Body body, String tenant, boolean socket) {
        String previous = ResponseRequests.previous(body);
        return previous == null
                ? Mono.fromSupplier(() -> requests.read(body, socket, Conversation.NONE))
                : earlier.read(previous, tenant).map(before -> requests.read(body, socket, before));
    }
}
