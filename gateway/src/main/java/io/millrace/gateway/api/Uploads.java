package io.millrace.gateway.api;

import io.millrace.gateway.batch.FileStore;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.core.io.buffer.DefaultDataBufferFactory;
import org.springframework.http.InvalidMediaTypeException;
import org.springframework.http.MediaType;
import org.springframework.http.codec.multipart.FilePartEvent;
import org.springframework.http.codec.multipart.FormPartEvent;
import org.springframework.http.codec.multipart.PartEvent;
import org.springframework.web.reactive.function.BodyExtractors;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.util.DisconnectedClientHelper;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Reads uploads ({@code multipart/form-data}) into the log as they come: never a whole file in memory, nor on disk. */
final class Uploads {

    private static final int CHUNK_BYTES = 512 * 1024;
    private static final int DROPPED_FACTOR = 4;
    private static final int EVENTS_AHEAD = 16;

    private final FileStore store;
    private final long bytesMax;
    private final Duration timeout;

    /**
     * What was uploaded.
     *
     * @param fields all but the file
     */
    record Upload(Map<String, String> fields, String filename, FileStore.Written written) {}

    Uploads(FileStore store, long bytesMax, Duration timeout) {
        this.store = store;
        this.bytesMax = bytesMax;
        this.timeout = timeout;
    }

    /**
     * Writes the part {@code file} under that source; errors: 400, 408, 413, 415.
     *
     * <p>The thread that the body comes on asks for more of it as well: Spring's parser, and the windows that it makes of parts, meet no
     * second thread where Kafka's confirms a chunk while the next bytes come in. An upload hung once before it was so; see issue 34178 of
     * spring-framework.
     */
    Mono<Upload> read(ServerRequest request, String source, int partition) {
        String type = request.headers().firstHeader("Content-Type");
        if (!isForm(type)) {
            return Mono.error(new ApiException(ApiError.of(
                    415, "unsupported_media_type", null, "The body must be multipart/form-data, not '" + type + "'.")));
        }
        var reading = new Reading(store.writing(source, partition));
        return onHeap(request)
                .bodyToFlux(PartEvent.class)
                .onErrorMap(Uploads::isMalformed, Uploads::malformed)
                .publishOn(HttpAnswers.eventLoop(request), EVENTS_AHEAD)
                .timeout(timeout)
                .concatMap(reading::take)
                .then(Mono.fromSupplier(reading::whole))
                .onErrorMap(
                        TimeoutException.class,
                        e -> new ApiException(ApiError.of(
                                408,
                                "body_timeout",
                                null,
                                "Nothing came of the body for " + timeout.toSeconds() + " s.")));
    }

    /** With a body that is collected as garbage: Spring's parser loses counted buffers when a part is refused amid a body. */
    private static ServerRequest onHeap(ServerRequest request) {
        Flux<DataBuffer> body = request.body(BodyExtractors.toDataBuffers()).map(buffer -> {
            byte[] bytes = new byte[buffer.readableByteCount()];
            buffer.read(bytes);
            DataBufferUtils.release(buffer);
            return DefaultDataBufferFactory.sharedInstance.wrap(bytes);
        });
        return ServerRequest.from(request).body(body).build();
    }

    private static boolean isForm(@Nullable String type) {
        try {
            return type != null && MediaType.parseMediaType(type).isCompatibleWith(MediaType.MULTIPART_FORM_DATA);
        } catch (InvalidMediaTypeException none) {
            return false;
        }
    }

    /** Spring's parser says in many ways that it cannot read a body; what is left are clients that have gone, and errors that are told. */
    private static boolean isMalformed(Throwable failure) {
        return !(failure instanceof ApiException) && !DisconnectedClientHelper.isClientDisconnectedException(failure);
    }

    private static ApiException malformed(Throwable failure) {
        return new ApiException(ApiError.of(
                400,
                "invalid_multipart",
                null,
                "The body cannot be read as multipart/form-data: "
                        + NestedExceptionUtils.getMostSpecificCause(failure).getMessage()));
    }

    private static ApiError nameless() {
        return ApiError.of(
                400,
                "invalid_multipart",
                null,
                "A part of the body has no name: its 'Content-Disposition' must be form-data; name=\"…\".");
    }

    /** What has been read of one upload, whose events are taken one after the other. */
    private final class Reading {

        private final FileStore.Writing writing;
        private final Map<String, String> fields = new HashMap<>();

        /** Of the part {@code file}; null: there was none yet. */
        private @Nullable String filename;

        /** Whether the next event is of the part that the last one was of. */
        private boolean within;

        /** Of that part, where it is the file. */
        private @Nullable Chunker chunker;

        /** What is told at the part's end. */
        private @Nullable ApiError refusal;

        Reading(FileStore.Writing writing) {
            this.writing = writing;
        }

        /** Takes the next event; done when all chunks that are full are in the log. A part that is refused is read to its end first. */
        Mono<Void> take(PartEvent event) {
            if (!within) {
                begin(event);
            }
            within = !event.isLast();
            if (event.isLast() && refusal != null) {
                return Mono.error(new ApiException(refusal));
            }
            if (chunker == null) {
                return Mono.empty();
            }
            List<byte[]> chunks = chunker.add(event.content());
            if (event.isLast()) {
                chunks.addAll(chunker.end());
            }
            return Flux.fromIterable(chunks).concatMap(writing::append).then();
        }

        private void begin(PartEvent event) {
            chunker = null;
            if (event.headers().getContentDisposition().getName() == null) {
                refusal = nameless();
            } else if (event instanceof FilePartEvent file && file.name().equals("file")) {
                if (filename == null) {
                    filename = file.filename();
                    chunker = new Chunker();
                } else {
                    refusal = ApiError.invalid("file", "There are two parts 'file'.");
                }
            } else if (event instanceof FormPartEvent form) {
                fields.put(form.name(), form.value());
            }
        }

        Upload whole() {
            if (filename == null) {
                throw new ApiException(
                        ApiError.of(400, "missing_required_parameter", "file", "There is no part 'file'."));
            }
            FileStore.Written written = writing.written();
            if (written.bytes() == 0) {
                throw new ApiException(ApiError.invalid("file", "The file is empty."));
            }
            return new Upload(fields, filename.isEmpty() ? "file.jsonl" : filename, written);
        }
    }

    /** Makes chunks of one size of buffers of any, and counts. */
    private final class Chunker {

        private final ByteArrayOutputStream gathered = new ByteArrayOutputStream(CHUNK_BYTES);
        private long seen;

        List<byte[]> add(DataBuffer buffer) {
            byte[] bytes = new byte[buffer.readableByteCount()];
            buffer.read(bytes);
            seen += bytes.length;
            if (seen > bytesMax * DROPPED_FACTOR) {
                throw tooLarge();
            }
            List<byte[]> full = new ArrayList<>();
            for (int from = 0; from < bytes.length && seen <= bytesMax; ) {
                int count = Math.min(bytes.length - from, CHUNK_BYTES - gathered.size());
                gathered.write(bytes, from, count);
                from += count;
                if (gathered.size() == CHUNK_BYTES) {
                    full.add(gathered.toByteArray());
                    gathered.reset();
                }
            }
            return full;
        }

        /** What a client that writes everything before it reads is to see is said at the end. */
        List<byte[]> end() {
            if (seen > bytesMax) {
                throw tooLarge();
            }
            return gathered.size() == 0 ? List.of() : List.of(gathered.toByteArray());
        }

        private ApiException tooLarge() {
            return new ApiException(ApiError.of(
                    413,
                    "file_too_large",
                    "file",
                    "The file has %,d bytes or more; at most %,d are taken.".formatted(seen, bytesMax)));
        }
    }
}
