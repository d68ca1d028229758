package io.millrace.gateway.api;

import io.millrace.gateway.node.ClusterWatch;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Cursor;
import io.millrace.gateway.trace.Traces;
import io.millrace.shared.id.RequestId;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpHeaders;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.web.reactive.function.BodyInserters;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Mono;

/** The console: its page and files, which anybody may load, and the live cluster with its traces, which want a key of the scope admin where there are keys. Thread-safe. */
final class ConsoleEndpoints {

    private static final String PAGE = "index.html";
    private static final String CLUSTER = "/cluster";
    private static final Pattern TRACE = Pattern.compile("[0-9a-f]{32}");
    private static final MediaType SCRIPT = MediaType.parseMediaType("text/javascript;charset=utf-8");
    private static final MediaType STYLE = MediaType.parseMediaType("text/css;charset=utf-8");
    private static final MediaType HTML = MediaType.parseMediaType("text/html;charset=utf-8");
    private static final MediaType ICON = MediaType.parseMediaType("image/svg+xml");
    private static final List<String> SCRIPTS = List.of(
            "app.js",
            "answer.js",
            "chat.js",
            "cluster.js",
            "draw.js",
            "http.js",
            "markdown.js",
            "settings.js",
            "waterfall.js");

    /** Nothing from elsewhere, no script in the page, in nobody's frame. */
    private static final String POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private record Asset(byte[] bytes, MediaType type, String tag) {}

    private final Map<String, Asset> assets = new LinkedHashMap<>();
    private final ClusterWatch watch;
    private final Traces traces;

    ConsoleEndpoints(ClusterWatch watch, Traces traces) {
        this.watch = watch;
        this.traces = traces;
        assets.put(PAGE, load(PAGE, HTML));
        assets.put("console.css", load("console.css", STYLE));
        assets.put("icon.svg", load("icon.svg", ICON));
        SCRIPTS.forEach(name -> assets.put(name, load(name, SCRIPT)));
    }

    RouterFunction<ServerResponse> routes() {
        return RouterFunctions.route()
                .GET("/", request -> file(request, PAGE))
                .GET("/console/{file}", request -> file(request, request.pathVariable("file")))
                .GET(CLUSTER, request -> cluster())
                .GET(CLUSTER + "/traces/{trace}", this::trace)
                .build();
    }

    private Mono<ServerResponse> file(ServerRequest request, String name) {
        Asset asset = assets.get(name);
        if (asset == null) {
            return Mono.error(new ApiException(ErrorAnswers.notFound("/console/" + name)));
        }
        boolean known = asset.tag().equals(request.headers().firstHeader(HttpHeaders.IF_NONE_MATCH));
        ServerResponse.BodyBuilder answer = ServerResponse.status(known ? 304 : 200)
                .header(HttpHeaders.ETAG, asset.tag())
                .header(HttpHeaders.CACHE_CONTROL, "no-cache")
                .header("Content-Security-Policy", POLICY)
                .header("X-Content-Type-Options", "nosniff")
                .header("Referrer-Policy", "no-referrer");
        return known ? answer.build() : answer.contentType(asset.type()).bodyValue(asset.bytes());
    }

    /** Events, each the whole cluster. */
    private Mono<ServerResponse> cluster() {
        return ServerResponse.ok()
                .header(HttpHeaders.CACHE_CONTROL, "no-cache")
                .header("X-Accel-Buffering", "no")
                .body(BodyInserters.fromServerSentEvents(watch.pictures()
                        .map(picture ->
                                ServerSentEvent.builder(ClusterJson.of(picture)).build())));
    }

    /** One request's waterfall. */
    private Mono<ServerResponse> trace(ServerRequest request) {
        String trace = request.pathVariable("trace");
        if (!TRACE.matcher(trace).matches()) {
            throw new ApiException(ApiError.invalid("trace", "A trace's id is 32 hex digits, not '" + trace + "'."));
        }
        RequestId id = request.queryParam("request").map(ConsoleEndpoints::id).orElse(null);
        Cursor cursor = id == null
                ? null
                : request.queryParam("event")
                        .map(text -> Cursor.parse(id, text))
                        .orElse(null);
        return traces.of(trace, id, cursor)
                .flatMap(waterfall -> ServerResponse.ok()
                        .header(HttpHeaders.CACHE_CONTROL, "no-store")
                        .contentType(MediaType.APPLICATION_JSON)
                        .bodyValue(WaterfallJson.of(waterfall)));
    }

    private static RequestId id(String text) {
        try {
            return RequestId.parse(text);
        } catch (IllegalArgumentException e) {
            throw new ApiException(ApiError.invalid("request", "'" + text + "' is no id of an answer."));
        }
    }

    private static Asset load(String name, MediaType type) {
        String path = "/io/millrace/gateway/console/" + name;
        try (@Nullable InputStream in = ConsoleEndpoints.class.getResourceAsStream(path)) {
            if (in == null) {
                throw new IllegalStateException("the gateway's jar lacks " + path);
            }
            byte[] bytes = in.readAllBytes();
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(bytes);
            return new Asset(bytes, type, '"' + HexFormat.of().formatHex(hash, 0, 8) + '"');
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
