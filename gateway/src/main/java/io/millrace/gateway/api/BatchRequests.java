package io.millrace.gateway.api;

import io.millrace.gateway.batch.BatchLines;
import io.millrace.gateway.node.Exchange;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.DocumentFrames;
import io.millrace.shared.proto.BatchError;
import io.millrace.shared.proto.BatchInfo;
import io.opentelemetry.context.Context;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import tools.jackson.databind.JsonNode;

/** Lines of batches as requests: each is one under a key of its own, so it is run once, however often and wherever it is sent. */
final class BatchRequests implements BatchLines {

    private static final Logger LOG = LoggerFactory.getLogger(BatchRequests.class);
    private static final int CUSTOM_ID_MAX = 256;

    private final Map<String, BiFunction<Json.Body, String, Mono<Draft>>> readers;
    private final Generation generation;
    private final Json json;

    /** @param readers of the bodies that each endpoint takes */
    BatchRequests(Map<String, BiFunction<Json.Body, String, Mono<Draft>>> readers, Generation generation, Json json) {
        this.readers = Map.copyOf(readers);
        this.generation = generation;
        this.json = json;
    }

    /** Paths whose requests may stand in a batch. */
    Set<String> endpoints() {
        return readers.keySet();
    }

    @Override
    public Head head(String line, String endpoint) {
        Json.Body body;
        try {
            body = json.object(line);
        } catch (ApiException failure) {
            return bad("invalid_json_line", "This line is not parseable as valid JSON: " + failure.getMessage(), "");
        }
        JsonNode object = body.object();
        String id = object.path("custom_id").asString("");
        if (!object.path("custom_id").isString() || id.isEmpty()) {
            return bad("missing_required_parameter", "This line has no text 'custom_id'.", "custom_id");
        }
        if (id.length() > CUSTOM_ID_MAX) {
            return bad("invalid_custom_id", "'custom_id' has more than " + CUSTOM_ID_MAX + " characters.", "custom_id");
        }
        if (!object.path("method").asString("").equals("POST")) {
            return bad("invalid_method", "'method' must be \"POST\".", "method");
        }
        if (!object.path("url").asString("").equals(endpoint)) {
            return bad(
                    "invalid_url",
                    "The URL provided for this request does not match the batch endpoint, which is '" + endpoint + "'.",
                    "url");
        }
        if (!object.path("body").isObject()) {
            return bad("missing_required_parameter", "This line has no object 'body'.", "body");
        }
        String model = object.path("body").path("model").asString("");
        return model.isEmpty()
                ? bad("missing_required_parameter", "This line has no 'model' in its body.", "body.model")
                : new Head(id, model, BatchError.getDefaultInstance());
    }

    private static Head bad(String code, String message, String param) {
        return new Head(
                "",
                "",
                BatchError.newBuilder()
                        .setCode(code)
                        .setMessage(message)
                        .setParam(param)
                        .build());
    }

    @Override
    public Mono<Answer> run(BatchInfo batch, int number, int attempt, String line) {
        return Mono.defer(() -> {
                    var read = readers.get(batch.getEndpoint());
                    String body = json.slices(line, Set.of("body")).get("body");
                    if (read == null || body == null) {
                        throw new IllegalStateException("line " + number + " of " + batch.getId() + " was not checked");
                    }
                    return read.apply(json.object(body), batch.getTenant());
                })
                .flatMap(draft -> generation.ready(draft).then(Mono.defer(() -> run(batch, number, attempt, draft))))
                .onErrorResume(failure -> Mono.just(failed(failure)))
                .publishOn(Schedulers.parallel());
    }

    private Mono<Answer> run(BatchInfo batch, int number, int attempt, Draft draft) {
        if (draft.stream()) {
            throw new ApiException(
                    ApiError.invalid("stream", "A request of a batch is not streamed; leave 'stream' out."));
        }
        // Clients cannot send a key with a blank, so none of theirs is one of these.
        Draft keyed = IdempotencyKeys.of(idle(draft), batch.getTenant(), batch.getId() + " " + number + " " + attempt);
        Exchange<byte[]> exchange = generation.beginInBatch(
                keyed,
                batch.getTenant(),
                generation.observe("/v1/batches", Context.root()),
                call -> new DocumentFrames());
        String id = exchange.call().id().text();
        return exchange.opening()
                .flatMapMany(opened -> Flux.from(exchange.body()))
                .collect(ByteArrayOutputStream::new, ByteArrayOutputStream::writeBytes)
                .map(bytes -> new Answer(200, "", id, bytes.toString(StandardCharsets.UTF_8)))
                .onErrorResume(ApiException.class, failure -> Mono.just(failed(failure.error(), id)));
    }

    /** Lowest priority, and nobody's connection keeps it alive. */
    private static Draft idle(Draft draft) {
        return new Draft(
                draft.model(),
                draft.submit().toBuilder().setPriority(0).setBackground(true).build(),
                draft.prompts(),
                draft.seeded());
    }

    private static Answer failed(Throwable failure) {
        if (failure instanceof ApiException known) {
            return failed(known.error(), "");
        }
        LOG.error("a line of a batch failed", failure);
        return failed(GatewayErrors.internal(), "");
    }

    private static Answer failed(ApiError error, String id) {
        return new Answer(error.status(), error.code(), id, error.json());
    }
}
