package io.millrace.gateway.edge;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;

/**
 * Where a request carries its API key: {@code Authorization: Bearer KEY}, {@code x-api-key: KEY} as Anthropic's clients send it, or for a
 * browser's WebSocket, which can set no header, a sub-protocol {@code openai-insecure-api-key.KEY}. Never the query: it ends up in logs.
 */
final class Credentials {

    /** Begins the sub-protocol that carries a key; OpenAI's own name for it. */
    static final String PROTOCOL_PREFIX = "openai-insecure-api-key.";

    private static final String BEARER = "Bearer ";
    private static final String API_KEY = "x-api-key";
    private static final String PROTOCOLS = "Sec-WebSocket-Protocol";

    private Credentials() {}

    /** Null when there is none. */
    static @Nullable String key(HttpHeaders headers) {
        String authorization = headers.getFirst(HttpHeaders.AUTHORIZATION);
        if (authorization != null && authorization.regionMatches(true, 0, BEARER, 0, BEARER.length())) {
            return authorization.substring(BEARER.length()).strip();
        }
        String key = headers.getFirst(API_KEY);
        return key == null ? ofProtocols(headers.getValuesAsList(PROTOCOLS)) : key.strip();
    }

    private static @Nullable String ofProtocols(List<String> protocols) {
        return protocols.stream()
                .filter(protocol -> protocol.startsWith(PROTOCOL_PREFIX))
                .map(protocol -> protocol.substring(PROTOCOL_PREFIX.length()))
                .findFirst()
                .orElse(null);
    }
}
