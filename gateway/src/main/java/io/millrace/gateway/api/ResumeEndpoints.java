package io.millrace.gateway.api;

import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.Resumes;
import io.millrace.gateway.stream.After;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Cursor;
import io.millrace.gateway.stream.DocumentFrames;
import io.millrace.gateway.stream.JsonText;
import io.millrace.gateway.stream.Renderer;
import io.millrace.gateway.stream.SseFrames;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape.Api;
import io.millrace.shared.telemetry.Telemetry;
import io.opentelemetry.api.trace.Tracer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Mono;

/** What clients ask of answers by their id, at any gateway. Thread-safe. */
final class ResumeEndpoints {

    private static final String LAST_EVENT_ID = "Last-Event-ID";

    private final Resumes resumes;
    private final ResponseIds ids;
    private final Json json;
    private final GatewayMetrics metrics;
    private final Tracer tracer;
    private final boolean sseIds;

    ResumeEndpoints(
            Resumes resumes, ResponseIds ids, Json json, GatewayMetrics metrics, Tracer tracer, boolean sseIds) {
        this.resumes = resumes;
        this.ids = ids;
        this.json = json;
        this.metrics = metrics;
        this.tracer = tracer;
        this.sseIds = sseIds;
    }

    /** {@code GET /v1/responses/ID}: how it stands; its events from a place on with {@code stream=true}. */
    Mono<ServerResponse> response(ServerRequest request, String route) {
        if (streamed(request)) {
            return stream(request, route, Api.RESPONSES);
        }
        return with(request, route, "retrieve", Api.RESPONSES, (found, telemetry) -> {
            stored(found);
            return retrieved(request, found, Exchange.Mode.AS_IT_IS, telemetry);
        });
    }

    /** {@code POST /v1/responses/ID/cancel}: the response once it has ended, whatever ended it. */
    Mono<ServerResponse> cancel(ServerRequest request, String route) {
        return with(
                request,
                route,
                ResumeTelemetry.CANCEL,
                Api.RESPONSES,
                (found, telemetry) -> Mono.fromFuture(
                                resumes.cancel(found, "cancelled by the client", telemetry.trace()))
                        .then(Mono.defer(() -> retrieved(request, found, Exchange.Mode.INSIDE, telemetry))));
    }

    /** {@code POST /v1/chat/completions/ID/cancel}: its own stream tells the end. */
    Mono<ServerResponse> cancelCompletion(ServerRequest request, String route) {
        return with(
                request,
                route,
                ResumeTelemetry.CANCEL,
                Api.CHAT_COMPLETIONS,
                (found, telemetry) -> Mono.fromFuture(
                                resumes.cancel(found, "cancelled by the client", telemetry.trace()))
                        .then(Mono.defer(() -> {
                            telemetry.answered();
                            return HttpAnswers.json(new JsonText()
                                    .object()
                                    .field("id", found.call().apiId())
                                    .field("object", "chat.completion")
                                    .field("cancelled", true)
                                    .endObject()
                                    .toString());
                        })));
    }

    /** {@code DELETE /v1/responses/ID}. */
    Mono<ServerResponse> delete(ServerRequest request, String route) {
        return with(request, route, "delete", Api.RESPONSES, (found, telemetry) -> {
            stored(found);
            String gone = new JsonText()
                    .object()
                    .field("id", found.call().apiId())
                    .field("object", "response")
                    .field("deleted", true)
                    .endObject()
                    .toString();
            return Mono.fromFuture(resumes.delete(found, telemetry.trace())).then(Mono.defer(() -> {
                telemetry.answered();
                return HttpAnswers.json(gone);
            }));
        });
    }

    /** {@code GET /v1/responses/ID/input_items}. */
    Mono<ServerResponse> inputItems(ServerRequest request, String route) {
        return with(request, route, "input_items", Api.RESPONSES, (found, telemetry) -> {
            stored(found);
            var page = InputItems.Page.of(
                    request.queryParam("limit").orElse(null),
                    request.queryParam("order").orElse(null),
                    request.queryParam("after").orElse(null));
            String items = InputItems.page(found.call(), json, page);
            telemetry.answered();
            return HttpAnswers.json(items);
        });
    }

    /** {@code GET} of a chat or text completion's stream, from the event behind {@code Last-Event-ID} on. */
    Mono<ServerResponse> completion(ServerRequest request, String route, Api api) {
        if (!streamed(request) && request.headers().firstHeader(LAST_EVENT_ID) == null) {
            throw new ApiException(ApiError.invalid(
                    "stream",
                    "An answer of this kind is only streamed again: send 'Last-Event-ID', or 'stream=true'."));
        }
        return stream(request, route, api);
    }

    private Mono<ServerResponse> stream(ServerRequest request, String route, Api api) {
        @Nullable String last = request.headers().firstHeader(LAST_EVENT_ID);
        return with(request, route, "stream", api, (found, telemetry) -> {
            After after = last == null || last.isBlank()
                    ? new After.Sequence(startingAfter(request))
                    : new After.Place(Cursor.parse(found.call().id(), last.strip()));
            boolean ids = last != null || HttpAnswers.wantsIds(request, sseIds);
            if (found.call().shape().getBest() > 0) {
                throw new ApiException(ApiError.invalid("stream", "An answer with 'best_of' cannot be streamed."));
            }
            Call call = found.call().streamed(true);
            return HttpAnswers.stream(
                    request,
                    resumes.follow(
                            found,
                            call,
                            Renderer.of(call),
                            new SseFrames(ids ? call.id().text() : null, after),
                            api == Api.RESPONSES ? Exchange.Mode.INSIDE : Exchange.Mode.DIRECT,
                            true,
                            telemetry));
        });
    }

    private Mono<ServerResponse> retrieved(
            ServerRequest request, Resumes.Found found, Exchange.Mode mode, ResumeTelemetry telemetry) {
        Call call = found.call().streamed(false);
        return HttpAnswers.document(
                request,
                resumes.follow(found, call, Renderer.retrieved(call), new DocumentFrames(), mode, false, telemetry));
    }

    /** Finds the call that the path names, and goes on with it; throws 400, 401, 404. */
    private Mono<ServerResponse> with(
            ServerRequest request,
            String route,
            String kind,
            Api api,
            BiFunction<Resumes.Found, ResumeTelemetry, Mono<ServerResponse>> next) {
        var telemetry = new ResumeTelemetry(
                metrics,
                tracer,
                kind,
                request.method().name() + " " + route,
                Telemetry.fromHeaders(
                        request.headers().firstHeader("traceparent"),
                        request.headers().firstHeader("tracestate")));
        return Mono.defer(() -> {
                    String tenant = Edge.caller(request.exchange()).tenant();
                    RequestId id = ids.parse(request.pathVariable("id"), api);
                    telemetry.asks(tenant, id);
                    @Nullable String last = request.headers().firstHeader(LAST_EVENT_ID);
                    // A response may have been deleted, which only its router knows.
                    CompletableFuture<Resumes.Found> found = api == Api.RESPONSES || last == null || last.isBlank()
                            ? resumes.find(id, tenant, telemetry.trace())
                            : resumes.find(id, tenant, Cursor.parse(id, last.strip()));
                    return Mono.fromFuture(found);
                })
                .onErrorMap(
                        CompletionException.class, wrapped -> wrapped.getCause() == null ? wrapped : wrapped.getCause())
                .flatMap(found -> {
                    if (found.call().shape().getApi() != api) {
                        throw new ApiException(GatewayErrors.noSuchAnswer(request.pathVariable("id")));
                    }
                    return next.apply(found, telemetry);
                })
                .doOnError(error -> telemetry.refused(error instanceof ApiException known ? known.error() : null))
                .doOnCancel(() -> telemetry.refused(null));
    }

    private static void stored(Resumes.Found found) {
        if (!found.call().first().getStore()) {
            throw new ApiException(GatewayErrors.noSuchAnswer(found.call().apiId()));
        }
    }

    private static boolean streamed(ServerRequest request) {
        String stream = request.queryParam("stream").orElse("false");
        if (!stream.equals("true") && !stream.equals("false")) {
            throw new ApiException(ApiError.invalid("stream", "'stream' must be true or false."));
        }
        return stream.equals("true");
    }

    private static long startingAfter(ServerRequest request) {
        String text = request.queryParam("starting_after").orElse("-1");
        try {
            long number = Long.parseLong(text);
            if (number >= -1) {
                return number;
            }
        } catch (NumberFormatException e) {
            // Told below.
        }
        throw new ApiException(ApiError.invalid(
                "starting_after", "'starting_after' must be the 'sequence_number' of an event, from 0."));
    }
}
