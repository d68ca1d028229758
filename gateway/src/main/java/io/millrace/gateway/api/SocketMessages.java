package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.Resumes;
import io.millrace.gateway.node.SlowClientException;
import io.millrace.gateway.stream.After;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.JsonText;
import io.millrace.gateway.stream.MessageFrames;
import io.millrace.gateway.stream.Renderer;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape.Api;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import tools.jackson.databind.JsonNode;

/** What the client of one connection of {@code /v1/responses} may say, and the events that answer it. Thread-safe. */
final class SocketMessages {

    private static final Logger LOG = LoggerFactory.getLogger(SocketMessages.class);
    private static final String CREATE = "response.create";
    private static final String RESUME = "response.resume";
    private static final String CANCEL = "response.cancel";
    private static final String COMPLETED = "{\"type\":\"response.completed\"";
    private static final String INCOMPLETE = "{\"type\":\"response.incomplete\"";
    private static final Set<String> TYPES = Set.of(CREATE, RESUME, CANCEL);

    private final Generation generation;
    private final ResponseDrafts drafts;
    private final Earlier earlier;
    private final Json json;
    private final Supplier<Caller> caller;
    private final Context parent;
    private final RecentResponses recent;
    private final Runnable cut;

    /** A message as far as its type is understood. */
    record Message(String type, @Nullable String streamId, Json.Body body) {

        /** Whether it takes effect when it comes, not when those before it are answered. */
        boolean atOnce() {
            return type.equals(CANCEL);
        }
    }

    /** How responses are found that were made earlier. */
    record Earlier(Resumes resumes, ResponseIds ids, GatewayMetrics metrics, Tracer tracer) {}

    /**
     * @param caller whose connection it is, asked anew for each message; throws 401
     * @param charactersMax of the responses that the connection keeps for those that follow
     * @param cut ends the connection at once, whatever waits to be written
     */
    SocketMessages(
            Generation generation,
            ResponseDrafts drafts,
            Earlier earlier,
            Json json,
            Supplier<Caller> caller,
            Context parent,
            long charactersMax,
            Runnable cut) {
        this.generation = generation;
        this.drafts = drafts;
        this.earlier = earlier;
        this.json = json;
        this.caller = caller;
        this.parent = parent;
        this.recent = new RecentResponses(charactersMax);
        this.cut = cut;
    }

    /** Throws 400 for what is no message of a known type. */
    Message read(String text) {
        Json.Body body = json.object(text);
        Fields fields = body.fields();
        String type = fields.string("type");
        if (type == null || !TYPES.contains(type)) {
            throw new ApiException(ApiError.of(
                    400,
                    "invalid_event",
                    "type",
                    "'type' must be one of "
                            + String.join(", ", TYPES.stream().sorted().toList()) + ", not '" + type + "'."));
        }
        String stream = fields.string("stream_id");
        fields.string("event_id");
        JsonNode nested = type.equals(CREATE) ? fields.get("response") : null;
        return new Message(
                type, stream, nested != null && nested.isObject() ? new Json.Body(nested.toString(), nested) : body);
    }

    /** The events that answer a message; an error is one of them. */
    Flux<String> answer(Message message) {
        return message.type().equals(RESUME) ? resume(message) : create(message);
    }

    private Flux<String> create(Message message) {
        CallTelemetry telemetry = generation.observe("/v1/responses", parent);
        return Flux.defer(() -> drafts.readForSocket(
                                message.body(), caller.get().tenant(), recent)
                        .flatMapMany(draft -> generation
                                .ready(draft, caller.get())
                                .thenMany(Flux.defer(() -> begin(draft, message.streamId(), telemetry)))))
                .onErrorResume(failure -> failed(failure, message.streamId(), telemetry::refused));
    }

    private Flux<String> begin(Draft draft, @Nullable String stream, CallTelemetry telemetry) {
        Exchange<List<String>> exchange =
                generation.begin(draft, caller.get(), telemetry, call -> new MessageFrames(stream, After.NOTHING));
        return events(exchange).doOnNext(event -> {
            if (event.startsWith(COMPLETED) || event.startsWith(INCOMPLETE)) {
                drafts.remember(
                        exchange.call(), json.tree(event).path("response").toString(), recent);
            }
        });
    }

    private Flux<String> resume(Message message) {
        var telemetry = telemetry("socket");
        return Flux.defer(() -> {
                    Fields fields = message.body().fields();
                    long after = fields.integer64("starting_after", -1, Long.MAX_VALUE)
                            .orElse(-1);
                    return find(fields, telemetry).flatMapMany(found -> {
                        Call call = found.call().streamed(true);
                        return events(earlier.resumes()
                                .follow(
                                        found,
                                        call,
                                        Renderer.of(call),
                                        new MessageFrames(message.streamId(), new After.Sequence(after)),
                                        Exchange.Mode.INSIDE,
                                        true,
                                        telemetry));
                    });
                })
                .onErrorResume(failure -> failed(failure, message.streamId(), telemetry::refused));
    }

    /** Cancels the response that the message names: its own events tell that it has ended. */
    void cancel(Message message, Consumer<ApiError> onFailure) {
        var telemetry = telemetry("cancel");
        Mono.defer(() -> find(message.body().fields(), telemetry))
                .flatMap(found ->
                        Mono.fromFuture(earlier.resumes().cancel(found, "cancelled by the client", telemetry.trace())))
                .subscribe(
                        done -> {},
                        failure -> {
                            ApiError error = error(failure);
                            telemetry.refused(error);
                            onFailure.accept(error);
                        },
                        telemetry::answered);
    }

    private ResumeTelemetry telemetry(String kind) {
        return new ResumeTelemetry(
                earlier.metrics(), earlier.tracer(), kind, "WebSocket /v1/responses " + kind, parent);
    }

    private Mono<Resumes.Found> find(Fields fields, ResumeTelemetry telemetry) {
        String id = fields.string("response_id");
        if (id == null) {
            throw fields.missing("response_id");
        }
        fields.integer64("starting_after", -1, Long.MAX_VALUE);
        ResponseFields.refuseUnknown(fields);
        String tenant = caller.get().tenant();
        RequestId request = earlier.ids().parse(id, Api.RESPONSES);
        telemetry.asks(tenant, request);
        return Mono.fromFuture(earlier.resumes().find(request, tenant, telemetry.trace()))
                .map(found -> {
                    if (found.call().shape().getApi() != Api.RESPONSES) {
                        throw new ApiException(GatewayErrors.noSuchAnswer(id));
                    }
                    return found;
                });
    }

    private Flux<String> events(Exchange<List<String>> exchange) {
        exchange.cut().subscribe(nothing -> {}, error -> {}, cut);
        return exchange.opening().flatMapMany(opened -> exchange.body()).concatMapIterable(messages -> messages, 1);
    }

    private static Flux<String> failed(Throwable failure, @Nullable String stream, Consumer<ApiError> refused) {
        if (failure instanceof SlowClientException) {
            return Flux.empty();
        }
        ApiError error = error(failure);
        refused.accept(error);
        return Flux.just(event(error, stream));
    }

    private static ApiError error(Throwable failure) {
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        if (cause instanceof ApiException known) {
            return known.error();
        }
        LOG.error("a message over WebSocket failed", cause);
        return GatewayErrors.internal();
    }

    static String event(ApiError error, @Nullable String stream) {
        JsonText json = new JsonText().object().field("type", "error").field("status", error.status());
        json.name("error").raw(error.inner());
        if (stream != null) {
            json.field("stream_id", stream);
        }
        return json.endObject().toString();
    }
}
