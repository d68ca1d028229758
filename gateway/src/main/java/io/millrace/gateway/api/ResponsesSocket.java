package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.springframework.web.reactive.socket.CloseStatus;
import org.springframework.web.reactive.socket.WebSocketHandler;
import org.springframework.web.reactive.socket.WebSocketMessage;
import org.springframework.web.reactive.socket.WebSocketSession;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * One connection of {@code /v1/responses} over WebSocket. Messages of a lane ({@code stream_id}) are answered one after the other,
 * lanes beside each other; errors come as {@code error} events and leave the connection open.
 */
final class ResponsesSocket implements WebSocketHandler {

    static final int LANES_MAX = 32;
    static final int WAITING_MAX = 16;
    private static final int LANE_CHARACTERS_MAX = 128;
    private static final String NO_LANE = "";
    /** One of those that a client offers beside its key is chosen: a browser ends the connection otherwise. */
    private static final List<String> PROTOCOLS = List.of("millrace", "realtime");

    private final SocketMessages messages;
    private final int messageBytesMax;
    private final Duration life;
    private final Runnable reading;
    private final Map<String, Lane> lanes = new ConcurrentHashMap<>();
    private final Sinks.Many<Flux<String>> outputs =
            Sinks.many().unicast().onBackpressureBuffer(new ArrayBlockingQueue<>(LANES_MAX + 2));
    private final Sinks.Many<String> notices =
            Sinks.many().unicast().onBackpressureBuffer(new ArrayBlockingQueue<>(WAITING_MAX));

    /** Messages that wait for their turn. */
    private record Lane(Sinks.Many<SocketMessages.Message> waiting) {}

    /**
     * @param life after which the client must connect anew
     * @param reading runs once the connection reads frames
     */
    ResponsesSocket(SocketMessages messages, int messageBytesMax, Duration life, Runnable reading) {
        this.reading = reading;
        this.messages = messages;
        this.messageBytesMax = messageBytesMax;
        this.life = life;
    }

    @Override
    public List<String> getSubProtocols() {
        return PROTOCOLS;
    }

    @Override
    public Mono<Void> handle(WebSocketSession session) {
        Sinks.Empty<Void> gone = Sinks.empty();
        outputs.tryEmitNext(notices.asFlux());
        Flux<WebSocketMessage> received = session.receive();
        reading.run();
        Mono<Void> in = received.concatMap(message -> receive(session, message))
                .then()
                .doFinally(signal -> gone.tryEmitEmpty());
        // One after the other: the transport would take 128 messages in advance, whatever their size.
        Mono<Void> out = outputs.asFlux()
                .flatMap(lane -> lane, LANES_MAX + 1, 1)
                .takeUntilOther(gone.asMono())
                .concatMap(text -> session.send(Mono.just(session.textMessage(text))), 1)
                .then();
        Mono<Void> aged = Mono.delay(life)
                .takeUntilOther(gone.asMono())
                .flatMap(passed -> session.send(Mono.just(session.textMessage(SocketMessages.event(expired(), null))))
                        .then(session.close(CloseStatus.NORMAL.withReason("the connection has reached its age"))));
        return Mono.when(out, in, aged);
    }

    private ApiError expired() {
        return ApiError.of(
                400,
                "websocket_connection_limit_reached",
                null,
                "A connection lives for %,d s at most. Open a new one, and go on with 'previous_response_id'."
                        .formatted(life.toSeconds()));
    }

    private Mono<Void> receive(WebSocketSession session, WebSocketMessage message) {
        if (message.getPayload().readableByteCount() > messageBytesMax) {
            return session.close(CloseStatus.TOO_BIG_TO_PROCESS.withReason("at most " + messageBytesMax + " bytes"));
        }
        return switch (message.getType()) {
            case TEXT -> {
                String lane = take(message.getPayloadAsText());
                yield lane == null
                        ? Mono.empty()
                        : session.close(new CloseStatus(1013, "errors are not read: " + lane));
            }
            case BINARY -> session.close(CloseStatus.NOT_ACCEPTABLE.withReason("text messages only"));
            case PING, PONG -> Mono.empty();
        };
    }

    /** Hands the message to its lane; a text when the connection must end. */
    private @Nullable String take(String text) {
        String stream = null;
        try {
            SocketMessages.Message message = messages.read(text);
            stream = message.streamId();
            if (stream != null && (stream.isEmpty() || stream.length() > LANE_CHARACTERS_MAX)) {
                stream = null;
                throw new ApiException(ApiError.invalid(
                        "stream_id", "'stream_id' must have 1 to " + LANE_CHARACTERS_MAX + " characters."));
            }
            if (message.atOnce()) {
                messages.cancel(message, failure -> notice(failure, message.streamId()));
                return null;
            }
            if (!lane(stream).waiting().tryEmitNext(message).isSuccess()) {
                throw new ApiException(ApiError.of(
                        429,
                        "too_many_waiting",
                        null,
                        "%d messages wait in this lane already; send the next one when a response has ended."
                                .formatted(WAITING_MAX)));
            }
            return null;
        } catch (ApiException failure) {
            return notice(failure.error(), stream) ? null : "more than " + WAITING_MAX;
        }
    }

    private boolean notice(ApiError error, @Nullable String stream) {
        return notices.tryEmitNext(SocketMessages.event(error, stream)).isSuccess();
    }

    private Lane lane(@Nullable String stream) {
        String name = stream == null ? NO_LANE : stream;
        Lane known = lanes.get(name);
        if (known != null) {
            return known;
        }
        if (lanes.size() >= LANES_MAX) {
            throw new ApiException(ApiError.of(
                    400,
                    "too_many_streams",
                    "stream_id",
                    "A connection has at most %d lanes; use one of those, or another connection."
                            .formatted(LANES_MAX)));
        }
        Lane lane = new Lane(Sinks.many().unicast().onBackpressureBuffer(new ArrayBlockingQueue<>(WAITING_MAX)));
        lanes.put(name, lane);
        outputs.tryEmitNext(lane.waiting().asFlux().concatMap(messages::answer, 1));
        return lane;
    }
}
