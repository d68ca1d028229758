package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.DocumentFrames;
import io.millrace.gateway.stream.SseFrames;
import io.millrace.shared.telemetry.Telemetry;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

/** The generating endpoints over HTTP: a document, or server-sent events. Thread-safe. */
final class HttpEndpoints {

    /** From this size on, a body is parsed away from the event loop. */
    private static final int LARGE_BYTES = 64 * 1024;

    private final Generation generation;
    private final Bodies bodies;
    private final Json json;
    private final boolean sseIds;

    HttpEndpoints(Generation generation, Bodies bodies, Json json, boolean sseIds) {
        this.generation = generation;
        this.bodies = bodies;
        this.json = json;
        this.sseIds = sseIds;
    }

    /** Answers a POST whose body {@code read} understands. */
    Mono<ServerResponse> generate(ServerRequest request, String route, Function<Json.Body, Draft> read) {
        return generate(request, route, (body, tenant) -> Mono.just(read.apply(body)));
    }

    /** The same, when more must be known than the body and its tenant. */
    Mono<ServerResponse> generate(
            ServerRequest request, String route, BiFunction<Json.Body, String, Mono<Draft>> read) {
        CallTelemetry telemetry = generation.observe(
                route,
                Telemetry.fromHeaders(
                        request.headers().firstHeader("traceparent"),
                        request.headers().firstHeader("tracestate")));
        return Mono.defer(() -> {
                    Caller caller = Edge.caller(request.exchange());
                    telemetry.tenant(caller.tenant());
                    return bodies.read(request)
                            .flatMap(bytes -> Mono.just(bytes)
                                    .publishOn(
                                            bytes.length < LARGE_BYTES ? Schedulers.immediate() : Schedulers.parallel())
                                    .flatMap(body -> read.apply(json.object(body), caller.tenant())))
                            .flatMap(draft -> generation
                                    .ready(draft, caller)
                                    .then(Mono.defer(() -> answer(request, draft, caller, telemetry))));
                })
                .doOnError(error -> telemetry.refused(error instanceof ApiException api ? api.error() : null))
                .doOnCancel(() -> telemetry.refused(null));
    }

    private Mono<ServerResponse> answer(ServerRequest request, Draft draft, Caller caller, CallTelemetry telemetry) {
        String key = request.headers().firstHeader(IdempotencyKeys.HEADER);
        Draft keyed = key == null ? draft : IdempotencyKeys.keyed(draft, caller.tenant(), key.strip());
        if (draft.stream()) {
            boolean ids = HttpAnswers.wantsIds(request, sseIds);
            return HttpAnswers.stream(
                    request,
                    generation.begin(
                            keyed,
                            caller,
                            telemetry,
                            call -> new SseFrames(ids ? call.id().text() : null)));
        }
        return HttpAnswers.document(request, generation.begin(keyed, caller, telemetry, call -> new DocumentFrames()));
    }
}
