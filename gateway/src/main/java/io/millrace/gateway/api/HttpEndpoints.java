package io.millrace.gateway.api;

import io.millrace.gateway.auth.Tenants;
import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.DocumentFrames;
import io.millrace.gateway.stream.SseFrames;
import io.millrace.shared.telemetry.Telemetry;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.Function;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DefaultDataBufferFactory;
import org.springframework.http.HttpHeaders;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;
import reactor.netty.http.server.HttpServerRequest;

/** The generating endpoints over HTTP: a document, or server-sent events. Thread-safe. */
final class HttpEndpoints {

    /** From this size on, a body is parsed away from the event loop. */
    private static final int LARGE_BYTES = 64 * 1024;

    private static final int PIECE_BYTES_MAX = 16 * 1024;

    private static final MediaType EVENTS =
            new MediaType("text", "event-stream", java.nio.charset.StandardCharsets.UTF_8);

    private final Generation generation;
    private final Tenants tenants;
    private final Bodies bodies;
    private final Json json;
    private final boolean sseIds;

    HttpEndpoints(Generation generation, Tenants tenants, Bodies bodies, Json json, boolean sseIds) {
        this.generation = generation;
        this.tenants = tenants;
        this.bodies = bodies;
        this.json = json;
        this.sseIds = sseIds;
    }

    /** Answers a POST whose body {@code read} understands. */
    Mono<ServerResponse> generate(ServerRequest request, String route, Function<Json.Body, Draft> read) {
        CallTelemetry telemetry = generation.observe(
                route,
                Telemetry.fromHeaders(
                        request.headers().firstHeader("traceparent"),
                        request.headers().firstHeader("tracestate")));
        return Mono.defer(() -> {
                    String tenant = tenants.of(request.headers().firstHeader(HttpHeaders.AUTHORIZATION));
                    return bodies.read(request)
                            .flatMap(bytes -> Mono.just(bytes)
                                    .publishOn(
                                            bytes.length < LARGE_BYTES ? Schedulers.immediate() : Schedulers.parallel())
                                    .map(body -> read.apply(json.object(body))))
                            .flatMap(draft -> generation
                                    .ready(draft)
                                    .then(Mono.defer(() -> answer(request, draft, tenant, telemetry))));
                })
                .doOnError(error -> telemetry.refused(error instanceof ApiException api ? api.error() : null))
                .doOnCancel(() -> telemetry.refused(null));
    }

    private Mono<ServerResponse> answer(ServerRequest request, Draft draft, String tenant, CallTelemetry telemetry) {
        if (draft.stream()) {
            Exchange<byte[]> exchange = generation.begin(
                    draft,
                    tenant,
                    telemetry,
                    call -> new SseFrames(sseIds ? call.id().text() : null));
            exchange.cut().subscribe(nothing -> {}, error -> {}, () -> closeConnection(request));
            return exchange.opening()
                    .publishOn(eventLoop(request))
                    .flatMap(opened -> ServerResponse.ok()
                            .contentType(EVENTS)
                            .header(HttpHeaders.CACHE_CONTROL, "no-cache")
                            .header("X-Accel-Buffering", "no")
                            .header("X-Request-Id", exchange.call().id().text())
                            .build((http, context) -> http.getResponse()
                                    .writeAndFlushWith(exchange.writes()
                                            .map(write -> write.flatMapIterable(HttpEndpoints::pieces)))));
        }
        Exchange<byte[]> exchange = generation.begin(draft, tenant, telemetry, call -> new DocumentFrames());
        return exchange.opening()
                .publishOn(eventLoop(request))
                .flatMap(opened -> ServerResponse.ok()
                        .contentType(MediaType.APPLICATION_JSON)
                        .header("X-Request-Id", exchange.call().id().text())
                        .build((http, context) -> http.getResponse()
                                .writeWith(Flux.from(exchange.body()).map(HttpEndpoints::buffer))));
    }

    /** The thread of the request's connection: an answer that begins there needs no other one to be written. */
    private static Scheduler eventLoop(ServerRequest request) {
        Executor[] loop = new Executor[1];
        netty(request)
                .withConnection(connection -> loop[0] = connection.channel().eventLoop());
        return Schedulers.fromExecutor(loop[0]);
    }

    private static HttpServerRequest netty(ServerRequest request) {
        return ServerHttpRequestDecorator.getNativeRequest(request.exchange().getRequest());
    }

    /** Ends the connection with whatever is still to be written: what waits for a client that does not read is freed. */
    private static void closeConnection(ServerRequest request) {
        netty(request).withConnection(connection -> connection.channel().close());
    }

    /** The transport takes up to 128 buffers in advance, whatever their size: small ones bound what a slow client holds. */
    private static List<DataBuffer> pieces(byte[] bytes) {
        List<DataBuffer> pieces = new ArrayList<>();
        DataBuffer all = buffer(bytes);
        while (all.readableByteCount() > PIECE_BYTES_MAX) {
            pieces.add(all.split(all.readPosition() + PIECE_BYTES_MAX));
        }
        pieces.add(all);
        return pieces;
    }

    private static DataBuffer buffer(byte[] bytes) {
        return DefaultDataBufferFactory.sharedInstance.wrap(bytes);
    }
}
