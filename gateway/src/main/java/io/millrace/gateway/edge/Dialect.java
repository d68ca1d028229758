package io.millrace.gateway.edge;

import io.millrace.gateway.stream.ApiError;
import org.springframework.http.server.reactive.ServerHttpRequest;

/** Whose API a client speaks: it decides the shape of errors, and which headers answers carry. */
public enum Dialect {
    OPENAI,
    ANTHROPIC;

    /** Root of Anthropic's Messages API. */
    public static final String MESSAGES = "/v1/messages";

    static final String VERSION = "anthropic-version";

    /** By path, and for shared paths by the header that Anthropic's clients always send. */
    public static Dialect of(ServerHttpRequest request) {
        return of(request.getPath().value(), request.getHeaders().containsHeader(VERSION));
    }

    /** The same of a request of which no more is known than its target, and whether it has that header. */
    static Dialect of(String path, boolean versioned) {
        boolean messages = path.equals(MESSAGES) || path.startsWith(MESSAGES + "/");
        return messages || versioned ? ANTHROPIC : OPENAI;
    }

    /** The error as this API's clients read it. */
    public String json(ApiError error) {
        return this == ANTHROPIC ? error.anthropic() : error.json();
    }
}
