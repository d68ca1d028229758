package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.batch.FileStore;
import io.millrace.gateway.batch.Registry;
import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.BatchInfo;
import io.millrace.shared.proto.FileInfo;
import java.time.Duration;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Mono;

/** {@code /v1/batches}. Thread-safe. */
final class BatchEndpoints {

    private static final String PREFIX = "batch_";
    private static final Pattern WINDOW = Pattern.compile("([1-9][0-9]{0,4})([smhd])");
    private static final Duration WINDOW_MAX = Duration.ofDays(6);
    private static final int PAGE = 20;
    private static final int PAGE_MAX = 100;

    private final Registry registry;
    private final FileStore store;
    private final Set<String> endpoints;
    private final Bodies bodies;
    private final Json json;
    private final Clock clock;

    BatchEndpoints(Registry registry, FileStore store, Set<String> endpoints, Bodies bodies, Json json, Clock clock) {
        this.registry = registry;
        this.store = store;
        this.endpoints = endpoints;
        this.bodies = bodies;
        this.json = json;
        this.clock = clock;
    }

    Mono<ServerResponse> create(ServerRequest request) {
        return FileEndpoints.ready(registry).then(Mono.defer(() -> {
            Caller caller = Edge.caller(request.exchange());
            caller.checkAllModels();
            String tenant = caller.tenant();
            return bodies.read(request)
                    .map(bytes -> read(json.object(bytes), tenant))
                    .flatMap(batch -> registry.file(batch.getInputFile(), tenant)
                            .switchIfEmpty(Mono.error(() -> noFile(batch.getInputFile())))
                            .map(file -> checked(batch, file)))
                    .flatMap(batch -> FileEndpoints.confirmed(() -> registry.put(batch))
                            .then(Mono.defer(() -> answer(batch.getId(), tenant))));
        }));
    }

    private static BatchInfo checked(BatchInfo batch, FileInfo file) {
        if (!file.getPurpose().equals("batch")) {
            throw new ApiException(ApiError.invalid(
                    "input_file_id",
                    "The file has the purpose '" + file.getPurpose()
                            + "'; a batch reads files of the purpose 'batch'."));
        }
        if (file.getExpiresMs() < batch.getExpiresMs()) {
            throw new ApiException(ApiError.invalid(
                    "completion_window",
                    "The input file expires %,d s before the batch would; upload it again, or lower 'completion_window'."
                            .formatted((batch.getExpiresMs() - file.getExpiresMs()) / 1000)));
        }
        return batch;
    }

    private static ApiException noFile(String id) {
        return new ApiException(ApiError.of(
                400,
                "invalid_value",
                "input_file_id",
                "No file with the id '" + FileEndpoints.shown(id) + "' is here; upload it to /v1/files."));
    }

    private BatchInfo read(Json.Body parsed, String tenant) {
        Fields body = parsed.fields();
        String file = body.string("input_file_id");
        if (file == null) {
            throw body.missing("input_file_id");
        }
        String endpoint = body.string("endpoint");
        if (endpoint == null) {
            throw body.missing("endpoint");
        }
        if (!endpoints.contains(endpoint)) {
            throw body.invalid(
                    "endpoint",
                    "'endpoint' must be one of "
                            + String.join(", ", endpoints.stream().sorted().toList()) + ", not '"
                            + FileEndpoints.shown(endpoint) + "'.");
        }
        String window = body.string("completion_window");
        if (window == null) {
            throw body.missing("completion_window");
        }
        Duration life = window(body, window);
        String metadata = body.has("metadata") ? Common.metadata(body) : "";
        ResponseFields.refuseUnknown(body);
        if (registry.batches(tenant).size() >= Registry.COUNT_MAX) {
            throw FileEndpoints.tooMany("batches");
        }
        int partition = store.partition();
        long now = clock.wallMs();
        return BatchInfo.newBuilder()
                .setId(PREFIX + RequestId.random(partition).text())
                .setTenant(tenant)
                .setInputFile(file)
                .setEndpoint(endpoint)
                .setCompletionWindow(window)
                .setCreatedMs(now)
                .setExpiresMs(now + life.toMillis())
                .setMetadataJson(metadata)
                .setOutputFile(
                        FileEndpoints.PREFIX + RequestId.random(partition).text())
                .setErrorFile(FileEndpoints.PREFIX + RequestId.random(partition).text())
                .build();
    }

    private static Duration window(Fields body, String text) {
        Matcher matcher = WINDOW.matcher(text);
        if (matcher.matches()) {
            long count = Long.parseLong(matcher.group(1));
            Duration window = switch (matcher.group(2)) {
                case "s" -> Duration.ofSeconds(count);
                case "m" -> Duration.ofMinutes(count);
                case "h" -> Duration.ofHours(count);
                default -> Duration.ofDays(count);
            };
            if (window.compareTo(WINDOW_MAX) <= 0) {
                return window;
            }
        }
        throw body.invalid(
                "completion_window",
                "'completion_window' must be a time such as \"24h\", from 1s to " + WINDOW_MAX.toDays() + "d.");
    }

    Mono<ServerResponse> list(ServerRequest request) {
        return FileEndpoints.ready(registry)
                .then(Mono.defer(() -> HttpAnswers.json(Listing.page(
                        request,
                        registry.batches(tenant(request)),
                        PAGE,
                        PAGE_MAX,
                        batch -> batch.info().getId(),
                        BatchObject::json))));
    }

    Mono<ServerResponse> retrieve(ServerRequest request) {
        return FileEndpoints.ready(registry)
                .then(Mono.defer(() -> answer(request.pathVariable("id"), tenant(request))));
    }

    Mono<ServerResponse> cancel(ServerRequest request) {
        return FileEndpoints.ready(registry).then(Mono.defer(() -> {
            String tenant = tenant(request);
            return found(request.pathVariable("id"), tenant).flatMap(batch -> {
                if (batch.ended()) {
                    throw new ApiException(ApiError.of(
                            409,
                            "batch_ended",
                            null,
                            "The batch is " + BatchObject.status(batch) + "; nothing of it can be cancelled."));
                }
                String id = batch.info().getId();
                return FileEndpoints.confirmed(() -> registry.cancel(id)).then(Mono.defer(() -> answer(id, tenant)));
            });
        }));
    }

    private Mono<ServerResponse> answer(String id, String tenant) {
        return found(id, tenant).flatMap(batch -> HttpAnswers.json(BatchObject.json(batch)));
    }

    private Mono<Registry.Batch> found(String id, String tenant) {
        return registry.batch(id, tenant)
                .switchIfEmpty(Mono.error(() -> new ApiException(GatewayErrors.noSuchAnswer(FileEndpoints.shown(id)))));
    }

    private static String tenant(ServerRequest request) {
        return Edge.caller(request.exchange()).tenant();
    }
}
