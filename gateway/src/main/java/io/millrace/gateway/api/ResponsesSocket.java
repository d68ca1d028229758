package io.millrace.gateway.api;

import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.SlowClientException;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.gateway.stream.MessageFrames;
import io.millrace.shared.telemetry.Telemetry;
import io.opentelemetry.context.Context;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.web.reactive.socket.CloseStatus;
import org.springframework.web.reactive.socket.WebSocketHandler;
import org.springframework.web.reactive.socket.WebSocketMessage;
import org.springframework.web.reactive.socket.WebSocketSession;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import tools.jackson.databind.JsonNode;

/**
 * One connection of {@code /v1/responses} over WebSocket: {@code response.create} messages are answered one after the other,
 * each by the events of its response; errors come as {@code error} events and leave the connection open.
 */
final class ResponsesSocket implements WebSocketHandler {

    private static final Logger LOG = LoggerFactory.getLogger(ResponsesSocket.class);
    private static final int WAITING_MAX = 16;

    private final Generation generation;
    private final ResponseDrafts requests;
    private final Json json;
    private final String tenant;
    private final int messageBytesMax;

    ResponsesSocket(Generation generation, ResponseDrafts requests, Json json, String tenant, int messageBytesMax) {
        this.generation = generation;
        this.requests = requests;
        this.json = json;
        this.tenant = tenant;
        this.messageBytesMax = messageBytesMax;
    }

    @Override
    public Mono<Void> handle(WebSocketSession session) {
        Sinks.Many<String> waiting = Sinks.many().unicast().onBackpressureBuffer(new ArrayBlockingQueue<>(WAITING_MAX));
        Sinks.Empty<Void> gone = Sinks.empty();
        Context parent = Telemetry.fromHeaders(
                session.getHandshakeInfo().getHeaders().getFirst("traceparent"),
                session.getHandshakeInfo().getHeaders().getFirst("tracestate"));
        Mono<Void> in = session.receive()
                .concatMap(message -> receive(session, message, waiting))
                .then()
                .doFinally(signal -> {
                    waiting.tryEmitComplete();
                    gone.tryEmitEmpty();
                });
        Flux<WebSocketMessage> out = waiting.asFlux()
                .concatMap(text -> respond(text, parent), 1)
                .takeUntilOther(gone.asMono())
                .map(session::textMessage);
        return Mono.when(session.send(out), in);
    }

    private Mono<Void> receive(WebSocketSession session, WebSocketMessage message, Sinks.Many<String> waiting) {
        if (message.getPayload().readableByteCount() > messageBytesMax) {
            return session.close(CloseStatus.TOO_BIG_TO_PROCESS.withReason("at most " + messageBytesMax + " bytes"));
        }
        return switch (message.getType()) {
            case TEXT ->
                waiting.tryEmitNext(message.getPayloadAsText()).isSuccess()
                        ? Mono.empty()
                        : session.close(new CloseStatus(1013, WAITING_MAX + " messages wait already"));
            case BINARY -> session.close(CloseStatus.NOT_ACCEPTABLE.withReason("text messages only"));
            case PING, PONG -> Mono.empty();
        };
    }

    private Flux<String> respond(String text, Context parent) {
        CallTelemetry telemetry = generation.observe("/v1/responses", parent);
        return Flux.defer(() -> {
                    return requests.readForSocket(create(text), tenant)
                            .flatMapMany(draft ->
                                    generation.ready(draft).thenMany(Flux.defer(() -> answer(draft, telemetry))));
                })
                .onErrorResume(failure -> {
                    ApiError error = failure instanceof ApiException known ? known.error() : internal(failure);
                    telemetry.refused(error);
                    return Flux.just(event(error));
                });
    }

    private Flux<String> answer(Draft draft, CallTelemetry telemetry) {
        Exchange<List<String>> exchange = generation.begin(draft, tenant, telemetry, call -> new MessageFrames());
        return exchange.opening().flatMapMany(opened -> exchange.body()).concatMapIterable(messages -> messages);
    }

    private Json.Body create(String text) {
        Json.Body message = json.object(text);
        String type = message.fields().string("type");
        if (!"response.create".equals(type)) {
            throw new ApiException(ApiError.of(
                    400,
                    "invalid_event",
                    "type",
                    "Only 'response.create' messages are understood, not '" + type + "'."));
        }
        JsonNode nested = message.object().get("response");
        return nested != null && nested.isObject() ? new Json.Body(nested.toString(), nested) : message;
    }

    private static ApiError internal(Throwable failure) {
        if (failure instanceof SlowClientException slow) {
            return ApiError.of(408, "client_too_slow", null, slow.toString());
        }
        LOG.error("a response over WebSocket failed", failure);
        return GatewayErrors.internal();
    }

    static String event(ApiError error) {
        return new JsonText()
                .object()
                .field("type", "error")
                .field("status", error.status())
                .name("error")
                .raw(error.inner())
                .endObject()
                .toString();
    }
}
