package io.millrace.gateway.api;

import io.millrace.gateway.node.Exchange;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.PrematureChannelClosureException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
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
import reactor.netty.NettyPipeline;
import reactor.netty.http.server.HttpServerRequest;

/** Exchanges as HTTP answers: a document, or server-sent events. */
final class HttpAnswers {

    /** Asks that streamed events carry their place, so that the stream can be resumed. */
    private static final String EVENT_IDS = "X-Millrace-Event-Ids";

    private static final int PIECE_BYTES_MAX = 16 * 1024;
    private static final MediaType EVENTS = new MediaType("text", "event-stream", StandardCharsets.UTF_8);

    private HttpAnswers() {}

    /** Whether events are to carry ids: as the request says, otherwise as configured. */
    static boolean wantsIds(ServerRequest request, boolean otherwise) {
        String wanted = request.headers().firstHeader(EVENT_IDS);
        return wanted == null ? otherwise : wanted.strip().equalsIgnoreCase("true");
    }

    static Mono<ServerResponse> stream(ServerRequest request, Exchange<byte[]> exchange) {
        exchange.cut().subscribe(nothing -> {}, error -> {}, () -> closeConnection(request));
        return exchange.opening()
                .publishOn(eventLoop(request))
                .flatMap(opened -> ServerResponse.ok()
                        .contentType(EVENTS)
                        .header(HttpHeaders.CACHE_CONTROL, "no-cache")
                        .header("X-Accel-Buffering", "no")
                        .header("X-Request-Id", exchange.call().id().text())
                        .build((http, context) -> http.getResponse()
                                .writeAndFlushWith(
                                        exchange.writes().map(write -> write.flatMapIterable(HttpAnswers::pieces)))));
    }

    static Mono<ServerResponse> document(ServerRequest request, Exchange<byte[]> exchange) {
        return exchange.opening()
                .publishOn(eventLoop(request))
                .flatMap(opened -> ServerResponse.ok()
                        .contentType(MediaType.APPLICATION_JSON)
                        .header("X-Request-Id", exchange.call().id().text())
                        .build((http, context) -> http.getResponse()
                                .writeWith(Flux.from(exchange.body()).map(HttpAnswers::buffer))));
    }

    /** A whole document of JSON. */
    static Mono<ServerResponse> json(String document) {
        return ServerResponse.ok().contentType(MediaType.APPLICATION_JSON).bodyValue(document);
    }

    /** The thread of the request's connection: an answer that begins there needs no other one to be written. */
    static Scheduler eventLoop(ServerRequest request) {
        Executor[] loop = new Executor[1];
        netty(request)
                .withConnection(connection -> loop[0] = connection.channel().eventLoop());
        return Schedulers.fromExecutor(loop[0]);
    }

    private static HttpServerRequest netty(ServerRequest request) {
        return ServerHttpRequestDecorator.getNativeRequest(request.exchange().getRequest());
    }

    /** Ends the connection with whatever is still to be written: what waits for a client that does not read is freed. */
    static void closeConnection(ServerRequest request) {
        netty(request).withConnection(connection -> connection.channel().close());
    }

    /** A WebSocket whose client goes in the middle of a message ends, and nothing more: for connections that read frames already. */
    static void endQuietly(ServerRequest request) {
        netty(request)
                .withConnection(connection -> connection
                        .channel()
                        .pipeline()
                        .addBefore(NettyPipeline.ReactiveBridge, "millrace.end", new ChannelInboundHandlerAdapter() {
                            @Override
                            public void exceptionCaught(ChannelHandlerContext context, Throwable cause)
                                    throws Exception {
                                if (!(cause instanceof PrematureChannelClosureException)) {
                                    super.exceptionCaught(context, cause);
                                }
                            }
                        }));
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
