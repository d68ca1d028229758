package io.millrace.gateway.edge;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.DecoderResultProvider;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.util.AttributeKey;
import io.netty.util.ReferenceCountUtil;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.NettyPipeline;
import reactor.netty.http.server.HttpRequestDecoderSpec;
import reactor.netty.http.server.HttpServerRequest;

/**
 * What becomes of bytes that are no request: they are answered here, once all before them have their answers, and the connection ends.
 * The HTTP server never sees them, since it forgets to answer when it has not yet done with the request before, or has that still
 * under way. The answers that it makes by itself get a body, and a body that breaks the rules of HTTP/1.1 (RFC 9112) is an error for who
 * reads it, where it would otherwise end early and count as whole. One for each connection, on its event loop.
 */
public final class Refusals extends ChannelDuplexHandler {

    private static final String MALFORMED = "malformed_http";
    private static final Set<Integer> STATUSES = Set.of(400, 414, 431);
    private static final int SHOWN_MAX = 120;
    /** What is wrong with the body that a connection has broken off; nothing more can be read of it. */
    private static final AttributeKey<ApiError> BROKEN = AttributeKey.valueOf(Refusals.class, "broken");

    private final int lineBytesMax;
    private final int headerBytesMax;
    private final IntConsumer refused;
    private Dialect dialect = Dialect.OPENAI;
    private @Nullable String why;
    private boolean head;
    private int unanswered;

    /** Of the body that broke off. */
    private @Nullable ApiError breach;

    /** Of what was no request; nothing behind it is read. */
    private @Nullable HttpResponseStatus refusal;

    private Refusals(HttpRequestDecoderSpec limits, IntConsumer refused) {
        this.lineBytesMax = limits.maxInitialLineLength();
        this.headerBytesMax = limits.maxHeaderSize();
        this.refused = refused;
    }

    /**
     * Puts one behind the connection's HTTP codec.
     *
     * @param refused hears the status of what was no request
     */
    public static void addTo(Channel channel, HttpRequestDecoderSpec limits, IntConsumer refused) {
        channel.pipeline().addAfter(NettyPipeline.HttpCodec, Refusals.class.getName(), new Refusals(limits, refused));
    }

    /** The request with a body that fails by 400 where it is broken. */
    static ServerHttpRequest whole(ServerHttpRequest request) {
        return new ServerHttpRequestDecorator(request) {
            @Override
            public Flux<DataBuffer> getBody() {
                return super.getBody().concatWith(Mono.defer(() -> broken(request)));
            }
        };
    }

    private static Mono<DataBuffer> broken(ServerHttpRequest request) {
        @Nullable ApiError[] error = new ApiError[1];
        HttpServerRequest netty = ServerHttpRequestDecorator.getNativeRequest(request);
        netty.withConnection(
                connection -> error[0] = connection.channel().attr(BROKEN).get());
        return error[0] == null ? Mono.empty() : Mono.error(new ApiException(error[0]));
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) throws Exception {
        if (refusal != null) {
            ReferenceCountUtil.release(message);
            return;
        }
        if (message instanceof HttpRequest request) {
            int query = request.uri().indexOf('?');
            String path = query < 0 ? request.uri() : request.uri().substring(0, query);
            dialect = Dialect.of(path, request.headers().contains(Dialect.VERSION));
            head = request.method().equals(HttpMethod.HEAD);
            why = null;
            unanswered++;
        }
        Throwable cause = message instanceof DecoderResultProvider part ? failure(part) : null;
        if (cause != null) {
            why = cause.getMessage();
            if (message instanceof HttpRequest) {
                ReferenceCountUtil.release(message);
                refusal = status(cause);
                refuse(context);
                return;
            }
            brokenBody(context, message);
            return;
        }
        super.channelRead(context, message);
    }

    /** Why it cannot be read; null: it can. */
    private static @Nullable Throwable failure(DecoderResultProvider part) {
        if (part instanceof HttpRequest request && request.protocolVersion().majorVersion() == 2) {
            return new IllegalArgumentException("HTTP/2 is not spoken on this port");
        }
        return part.decoderResult().isFailure() ? part.decoderResult().cause() : null;
    }

    private static HttpResponseStatus status(Throwable cause) {
        if (cause instanceof TooLongHttpLineException) {
            return HttpResponseStatus.REQUEST_URI_TOO_LONG;
        }
        return cause instanceof TooLongHttpHeaderException
                ? HttpResponseStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                : HttpResponseStatus.BAD_REQUEST;
    }

    /** Answers what was no request, if there was such and its turn has come. */
    private void refuse(ChannelHandlerContext context) {
        if (refusal == null || unanswered != 1) {
            return;
        }
        unanswered = 0;
        var bare = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, refusal, Unpooled.EMPTY_BUFFER);
        bare.headers()
                .set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE)
                .setInt(HttpHeaderNames.CONTENT_LENGTH, 0);
        context.writeAndFlush(head ? bare : told(bare)).addListener(ChannelFutureListener.CLOSE);
    }

    /** Ends the body where it breaks, and leaves word of it for {@link #whole}. */
    private void brokenBody(ChannelHandlerContext context, Object message) throws Exception {
        ReferenceCountUtil.release(message);
        if (unanswered == 0) {
            context.close();
        } else {
            breach = malformed();
            tellBreach(context);
            super.channelRead(context, LastHttpContent.EMPTY_LAST_CONTENT);
        }
    }

    /** It is about the last request that came; those before it, which a client may send without waiting, are whole. */
    private void tellBreach(ChannelHandlerContext context) {
        if (breach != null && unanswered == 1) {
            context.channel().attr(BROKEN).set(breach);
        }
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) throws Exception {
        ChannelPromise ending = promise;
        boolean interim =
                message instanceof HttpResponse response && response.status().code() < 200;
        if (message instanceof LastHttpContent && !interim) {
            unanswered = Math.max(0, unanswered - 1);
            if (context.channel().attr(BROKEN).get() != null) {
                ending = promise.unvoid().addListener(ChannelFutureListener.CLOSE);
            }
        }
        boolean bare = message instanceof FullHttpResponse response
                && STATUSES.contains(response.status().code())
                && !response.headers().contains(HttpHeaderNames.CONTENT_TYPE)
                && !head;
        super.write(context, bare ? told((FullHttpResponse) message) : message, ending);
        tellBreach(context);
        refuse(context);
    }

    private FullHttpResponse told(FullHttpResponse bare) {
        int status = bare.status().code();
        refused.accept(status);
        ByteBuf body = Unpooled.wrappedBuffer(dialect.json(error(status)).getBytes(StandardCharsets.UTF_8));
        FullHttpResponse told = bare.replace(body);
        told.headers().set(HttpHeaderNames.CONTENT_TYPE, HttpHeaderValues.APPLICATION_JSON);
        told.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, body.readableBytes());
        bare.release();
        return told;
    }

    private ApiError error(int status) {
        return switch (status) {
            case 414 ->
                ApiError.of(
                        status,
                        "request_line_too_long",
                        null,
                        "[MR-GW-016] The request's line, which holds path and query, has more than %,d bytes. Shorten it, or raise server.netty.max-initial-line-length."
                                .formatted(lineBytesMax));
            case 431 ->
                ApiError.of(
                        status,
                        "request_headers_too_large",
                        null,
                        "[MR-GW-017] The request's headers have more than %,d bytes together. Send fewer or shorter ones, or raise server.max-http-request-header-size."
                                .formatted(headerBytesMax));
            default -> malformed();
        };
    }

    private ApiError malformed() {
        // Spring says nothing of a target that is no URI, and Netty nothing of some others.
        String said = why == null || why.isBlank() ? "its path, its query or a header is malformed" : why.strip();
        String reason = ": " + (said.endsWith(".") ? said.substring(0, said.length() - 1) : said);
        return ApiError.of(
                400,
                MALFORMED,
                null,
                "[MR-GW-018] This is no request of HTTP/1.1%s. Use an HTTP client, or correct what writes the request."
                        .formatted(reason.length() > SHOWN_MAX ? reason.substring(0, SHOWN_MAX) + "…" : reason));
    }
}
