package io.millrace.gateway.edge;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.net.URI;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatus;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.cors.CorsConfiguration;

/**
 * Which web pages may call this server (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). A page of the server's own always may; one of
 * another origin is refused, its WebSockets too, unless that origin is configured: a page that a user happens to visit must not reach a
 * server on the user's machine.
 */
final class CrossOrigin {

    private static final List<HttpMethod> METHODS = List.of(HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE);
    private static final long PREFLIGHT_S = 600;

    private final CorsConfiguration allowed = new CorsConfiguration();

    /** @param origins as {@code https://app.example.org}, {@code https://*.example.org}, or {@code *}; none: only the server's own */
    CrossOrigin(List<String> origins) {
        allowed.setAllowedOriginPatterns(origins);
    }

    /** Whether the request is answered with this: a preflight. Throws 403 for an origin that may not. */
    boolean answers(ServerHttpRequest request, ServerHttpResponse response) {
        HttpHeaders headers = request.getHeaders();
        String origin = headers.getOrigin();
        if (origin == null) {
            return false;
        }
        response.getHeaders().add(HttpHeaders.VARY, HttpHeaders.ORIGIN);
        if (isOwn(origin, headers.getFirst(HttpHeaders.HOST))) {
            return false;
        }
        if (allowed.checkOrigin(origin) == null) {
            throw new ApiException(ApiError.of(
                    403,
                    "origin_not_allowed",
                    null,
                    "[MR-GW-013] Web pages of another origin may not call this server;"
                            + " millrace.gateway.cors-origins names those that may."));
        }
        response.getHeaders().setAccessControlAllowOrigin(origin);
        boolean preflight =
                request.getMethod() == HttpMethod.OPTIONS && headers.getAccessControlRequestMethod() != null;
        if (preflight) {
            response.setStatusCode(HttpStatus.NO_CONTENT);
            response.getHeaders().setAccessControlAllowMethods(METHODS);
            response.getHeaders().setAccessControlAllowHeaders(headers.getAccessControlRequestHeaders());
            response.getHeaders().setAccessControlMaxAge(PREFLIGHT_S);
        } else {
            response.getHeaders().setAccessControlExposeHeaders(AnswerHeaders.NAMES);
        }
        return preflight;
    }

    /** By host and port alone: a proxy in front may speak TLS for a server that does not. */
    private static boolean isOwn(String origin, @Nullable String host) {
        try {
            return host != null && host.equalsIgnoreCase(URI.create(origin).getAuthority());
        } catch (IllegalArgumentException e) {
            return false;
        }
    }
}
