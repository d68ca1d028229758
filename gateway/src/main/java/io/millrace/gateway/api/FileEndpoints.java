package io.millrace.gateway.api;

import io.millrace.gateway.batch.FileLife;
import io.millrace.gateway.batch.FileStore;
import io.millrace.gateway.batch.Registry;
import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.FileInfo;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.springframework.core.io.buffer.DefaultDataBufferFactory;
import org.springframework.http.HttpHeaders;
import org.springframework.http.MediaType;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** {@code /v1/files}: uploads for batches, and what came of these. Thread-safe. */
final class FileEndpoints {

    static final String PREFIX = "file-";
    private static final int LIMIT_MAX = 10_000;
    private static final long LIFE_S_MIN = 3_600;

    private final Registry registry;
    private final FileStore store;
    private final Uploads uploads;
    private final Clock clock;

    FileEndpoints(Registry registry, FileStore store, Uploads uploads, Clock clock) {
        this.registry = registry;
        this.store = store;
        this.uploads = uploads;
        this.clock = clock;
    }

    Mono<ServerResponse> create(ServerRequest request) {
        return Mono.defer(() -> {
            String tenant = tenant(request);
            if (registry.files(tenant).size() >= Registry.COUNT_MAX) {
                throw tooMany("files");
            }
            int partition = store.partition();
            String id = PREFIX + RequestId.random(partition).text();
            return uploads.read(request, id, partition)
                    .map(upload -> info(id, tenant, partition, upload))
                    .flatMap(file -> confirmed(() -> registry.put(file)).thenReturn(file))
                    .flatMap(file -> HttpAnswers.json(json(file)));
        });
    }

    private FileInfo info(String id, String tenant, int partition, Uploads.Upload upload) {
        Map<String, String> fields = upload.fields();
        String purpose = fields.get("purpose");
        if (purpose == null) {
            throw new ApiException(
                    ApiError.of(400, "missing_required_parameter", "purpose", "There is no part 'purpose'."));
        }
        if (!purpose.equals("batch")) {
            throw new ApiException(ApiError.of(
                    400,
                    "unsupported_parameter",
                    "purpose",
                    "'purpose' must be \"batch\": this server keeps files for batches only."));
        }
        long now = clock.wallMs();
        return FileInfo.newBuilder()
                .setId(id)
                .setTenant(tenant)
                .setFilename(upload.filename())
                .setPurpose(purpose)
                .setBytes(upload.written().bytes())
                .setCreatedMs(now)
                .setExpiresMs(now + life(fields))
                .setPartition(partition)
                .setSource(id)
                .setFirstOffset(upload.written().firstOffset())
                .setLastOffset(upload.written().lastOffset())
                .build();
    }

    private static long life(Map<String, String> fields) {
        String seconds = fields.get("expires_after[seconds]");
        if (seconds == null) {
            return FileLife.MS;
        }
        try {
            long life = Long.parseLong(seconds);
            if (life >= LIFE_S_MIN && life <= FileLife.MS / 1000) {
                return life * 1000;
            }
        } catch (NumberFormatException e) {
            // Told below.
        }
        throw new ApiException(ApiError.invalid(
                "expires_after.seconds",
                "'expires_after.seconds' must be an integer from %,d to %,d, which is how long this server keeps files."
                        .formatted(LIFE_S_MIN, FileLife.MS / 1000)));
    }

    Mono<ServerResponse> list(ServerRequest request) {
        return ready(registry).then(Mono.defer(() -> {
            String purpose = request.queryParam("purpose").orElse("");
            List<FileInfo> files = registry.files(tenant(request)).stream()
                    .filter(file -> purpose.isEmpty() || file.getPurpose().equals(purpose))
                    .toList();
            return HttpAnswers.json(
                    Listing.page(request, files, LIMIT_MAX, LIMIT_MAX, FileInfo::getId, FileEndpoints::json));
        }));
    }

    Mono<ServerResponse> retrieve(ServerRequest request) {
        return file(request).flatMap(file -> HttpAnswers.json(json(file)));
    }

    Mono<ServerResponse> content(ServerRequest request) {
        return file(request)
                .flatMap(file -> ServerResponse.ok()
                        .contentType(MediaType.APPLICATION_OCTET_STREAM)
                        .contentLength(file.getBytes())
                        .header(HttpHeaders.CONTENT_DISPOSITION, "attachment; filename=\"" + file.getId() + ".jsonl\"")
                        .build((http, context) -> http.getResponse()
                                .writeAndFlushWith(store.read(file)
                                        .map(bytes ->
                                                Flux.just(DefaultDataBufferFactory.sharedInstance.wrap(bytes))))));
    }

    Mono<ServerResponse> delete(ServerRequest request) {
        return file(request).flatMap(file -> {
            boolean used = registry.batches(file.getTenant()).stream()
                    .anyMatch(batch ->
                            !batch.ended() && batch.info().getInputFile().equals(file.getId()));
            if (used) {
                throw new ApiException(ApiError.of(
                        409, "file_in_use", null, "A batch that has not ended reads this file; cancel that first."));
            }
            String gone = new JsonText()
                    .object()
                    .field("id", file.getId())
                    .field("object", "file")
                    .field("deleted", true)
                    .endObject()
                    .toString();
            return confirmed(() -> registry.delete(file)).then(HttpAnswers.json(gone));
        });
    }

    private Mono<FileInfo> file(ServerRequest request) {
        return ready(registry).then(Mono.defer(() -> {
            String id = request.pathVariable("id");
            return registry.file(id, tenant(request))
                    .switchIfEmpty(Mono.error(() -> new ApiException(GatewayErrors.noSuchAnswer(shown(id)))));
        }));
    }

    private static String tenant(ServerRequest request) {
        return Edge.caller(request.exchange()).tenant();
    }

    static String shown(String id) {
        return id.length() > 80 ? id.substring(0, 80) + "…" : id;
    }

    static ApiException tooMany(String what) {
        return new ApiException(ApiError.of(
                429,
                "too_many_" + what,
                null,
                "You have %,d %s; delete some, or wait until they expire.".formatted(Registry.COUNT_MAX, what)));
    }

    /** Fails with 503 as long as the registry has not been read. */
    static Mono<Void> ready(Registry registry) {
        return Mono.defer(
                () -> registry.ready() ? Mono.empty() : Mono.error(new ApiException(GatewayErrors.logUnavailable(0))));
    }

    /** Fails with 503 when Kafka did not confirm it. */
    static Mono<Void> confirmed(Supplier<CompletableFuture<Void>> append) {
        return Mono.fromFuture(append)
                .onErrorMap(
                        failure -> !(failure instanceof ApiException),
                        failure -> new ApiException(GatewayErrors.logUnavailable(0)));
    }

    private static String json(FileInfo file) {
        return new JsonText()
                .object()
                .field("id", file.getId())
                .field("object", "file")
                .field("bytes", file.getBytes())
                .field("created_at", file.getCreatedMs() / 1000)
                .field("expires_at", file.getExpiresMs() / 1000)
                .field("filename", file.getFilename())
                .field("purpose", file.getPurpose())
                .field("status", "processed")
                .nothing("status_details")
                .endObject()
                .toString();
    }
}
