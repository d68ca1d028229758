package io.millrace.gateway.edge;

import org.springframework.http.server.reactive.ServerHttpRequest;

/** Whose API a client speaks: it decides the shape of errors, and which headers answers carry. */
public enum Dialect {
    OPENAI,
    ANTHROPIC;

    /** Root of Anthropic's Messages API. */
    public static final String MESSAGES = "/v1/messages";

    private static final String VERSION = "anthropic-version";

    /** By path, and for shared paths by the header that Anthropic's clients always send. */
    public static Dialect of(ServerHttpRequest request) {
        String path = request.getPath().value();
        boolean messages = path.equals(MESSAGES) || path.startsWith(MESSAGES + "/");
        return messages || request.getHeaders().containsHeader(VERSION) ? ANTHROPIC : OPENAI;
    }
}
