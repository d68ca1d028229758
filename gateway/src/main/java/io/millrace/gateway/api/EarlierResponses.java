package io.millrace.gateway.api;

import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.Resumes;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.DocumentFrames;
import io.millrace.gateway.stream.Renderer;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape.Api;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import tools.jackson.databind.JsonNode;

/**
 * Finds what {@code previous_response_id} names in the log, whichever gateway made it. Its request holds all messages before it, so
 * a chain of any length is one look-up. Thread-safe.
 */
final class EarlierResponses {

    static final String FIELD = "previous_response_id";
    private static final Set<String> GONE = Set.of("not_found", "no_longer_kept", "invalid_id");
    private static final Set<String> USABLE = Set.of("completed", "incomplete");

    private final Resumes resumes;
    private final ResponseIds ids;
    private final Json json;
    private final GatewayMetrics metrics;
    private final Tracer tracer;

    EarlierResponses(Resumes resumes, ResponseIds ids, Json json, GatewayMetrics metrics, Tracer tracer) {
        this.resumes = resumes;
        this.ids = ids;
        this.json = json;
        this.metrics = metrics;
        this.tracer = tracer;
    }

    /** The tenant's conversation up to and with that response; 400 when it cannot be gone on from. */
    Mono<Conversation> read(String id, String tenant) {
        var telemetry = ResumeTelemetry.within(metrics, tracer, "continue", "read " + FIELD, Context.current());
        return Mono.defer(() -> {
                    RequestId request = ids.parse(id, Api.RESPONSES);
                    return Mono.fromFuture(resumes.find(request, tenant, telemetry.trace()));
                })
                .onErrorMap(CompletionException.class, EarlierResponses::cause)
                .flatMap(found -> conversation(found, id, telemetry))
                .onErrorMap(ApiException.class, failure -> missing(failure, id))
                .doOnError(failure -> telemetry.refused(failure instanceof ApiException known ? known.error() : null));
    }

    private Mono<Conversation> conversation(Resumes.Found found, String id, ResumeTelemetry telemetry) {
        if (found.call().shape().getApi() != Api.RESPONSES
                || !found.call().first().getStore()) {
            return Mono.error(notFound(id));
        }
        Call call = found.call().streamed(false);
        Exchange<byte[]> exchange = resumes.follow(
                found, call, Renderer.retrieved(call), new DocumentFrames(), Exchange.Mode.AS_IT_IS, false, telemetry);
        return exchange.opening()
                .flatMapMany(opened -> Flux.from(exchange.body()))
                .collect(ByteArrayOutputStream::new, ByteArrayOutputStream::writeBytes)
                .map(bytes -> conversation(call, bytes.toString(StandardCharsets.UTF_8)));
    }

    /** The conversation as it stands after that response, whose object is {@code document}; throws 400 before its end. */
    Conversation conversation(Call call, String document) {
        JsonNode response = json.tree(document);
        String status = response.path("status").asString("");
        if (!USABLE.contains(status)) {
            throw unfinished(call.apiId(), status);
        }
        List<JsonNode> output = new ArrayList<>();
        response.path("output").forEach(output::add);
        int turns = Math.max(1, call.shape().getTurns());
        return new Conversation(call.apiId(), InputItems.messages(call, json), output, turns);
    }

    private static ApiException unfinished(String id, String status) {
        boolean running = status.equals("queued") || status.equals("in_progress");
        return new ApiException(ApiError.of(
                400,
                running ? "previous_response_not_finished" : "previous_response_not_usable",
                FIELD,
                "The response '" + id + "' is " + status + ", so nothing can follow it"
                        + (running ? " yet; wait for its end, or cancel it." : ". Go on from the one before it.")));
    }

    private static Throwable missing(ApiException failure, String id) {
        return GONE.contains(failure.error().code()) ? notFound(id) : failure;
    }

    private static ApiException notFound(String id) {
        String shown = id.length() > 80 ? id.substring(0, 80) + "…" : id;
        return new ApiException(ApiError.of(
                400,
                "previous_response_not_found",
                FIELD,
                "Previous response with id '" + shown
                        + "' not found: it was never made here, was not stored, was deleted, or is no longer kept."));
    }

    private static Throwable cause(CompletionException wrapped) {
        return wrapped.getCause() == null ? wrapped : wrapped.getCause();
    }
}
