package io.millrace.gateway.api;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.springframework.http.CacheControl;
import org.springframework.http.MediaType;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Mono;

/** {@code /openapi.json}, and {@code /docs}: a page that shows it. It loads nothing from elsewhere. */
final class ApiDocument {

    static final String OPENAPI = "openapi.json";

    private static final String POLICY =
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

    private final byte[] openApi = resource(OPENAPI);
    private final byte[] page = resource("docs.html");

    RouterFunction<ServerResponse> routes() {
        return RouterFunctions.route()
                .GET("/" + OPENAPI, request -> answer(MediaType.APPLICATION_JSON, openApi))
                .GET("/docs", this::page)
                .build();
    }

    private Mono<ServerResponse> page(ServerRequest request) {
        return answer(new MediaType(MediaType.TEXT_HTML, StandardCharsets.UTF_8), page);
    }

    private static Mono<ServerResponse> answer(MediaType type, byte[] body) {
        return ServerResponse.ok()
                .contentType(type)
                .cacheControl(CacheControl.noCache())
                .header("Content-Security-Policy", POLICY)
                .bodyValue(body);
    }

    static byte[] resource(String name) {
        try (InputStream in = ApiDocument.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException("the gateway's jar has no " + name);
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
