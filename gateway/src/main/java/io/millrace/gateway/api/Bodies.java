package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.concurrent.TimeoutException;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.http.InvalidMediaTypeException;
import org.springframework.http.MediaType;
import org.springframework.web.reactive.function.server.ServerRequest;
import reactor.core.publisher.Mono;

/**
 * Reads request bodies of bounded size. A body that is too large is read to its end, within a further bound, and dropped:
 * clients that write everything before they read would never see the 413 otherwise.
 */
final class Bodies {

    private static final int DROPPED_FACTOR = 16;

    private final int bytesMax;
    private final Duration timeout;

    Bodies(int bytesMax, Duration timeout) {
        this.bytesMax = bytesMax;
        this.timeout = timeout;
    }

    /** The body's bytes; errors: 415, 413, 408. */
    Mono<byte[]> read(ServerRequest request) {
        checkType(request);
        return request.exchange()
                .getRequest()
                .getBody()
                .collect(() -> new Collected(bytesMax), Collected::add)
                .timeout(timeout)
                .onErrorMap(TimeoutException.class, e -> new ApiException(late()))
                .map(Collected::bytes);
    }

    private static void checkType(ServerRequest request) {
        String given = request.headers().firstHeader("Content-Type");
        if (given == null) {
            return;
        }
        boolean json;
        try {
            MediaType type = MediaType.parseMediaType(given);
            json = type.getType().equals("application")
                    && (type.getSubtype().equals("json") || type.getSubtype().endsWith("+json"));
        } catch (InvalidMediaTypeException e) {
            json = false;
        }
        if (!json) {
            throw new ApiException(ApiError.of(
                    415, "unsupported_media_type", null, "The body must be application/json, not '" + given + "'."));
        }
    }

    private ApiError late() {
        return ApiError.of(
                408, "body_timeout", null, "The body was not complete within " + timeout.toSeconds() + " s.");
    }

    private static final class Collected {

        private final ByteArrayOutputStream out = new ByteArrayOutputStream();
        private final int bytesMax;
        private long seen;

        Collected(int bytesMax) {
            this.bytesMax = bytesMax;
        }

        void add(DataBuffer buffer) {
            int length = buffer.readableByteCount();
            seen += length;
            if (seen <= bytesMax) {
                byte[] bytes = new byte[length];
                buffer.read(bytes);
                out.writeBytes(bytes);
            }
            DataBufferUtils.release(buffer);
            if (seen > (long) bytesMax * DROPPED_FACTOR) {
                throw tooLarge();
            }
        }

        byte[] bytes() {
            if (seen > bytesMax) {
                throw tooLarge();
            }
            return out.toByteArray();
        }

        private ApiException tooLarge() {
            return new ApiException(ApiError.of(
                    413,
                    "body_too_large",
                    null,
                    "The body has %,d bytes or more; at most %,d are taken.".formatted(seen, bytesMax)));
        }
    }
}
