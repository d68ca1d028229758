package io.millrace.gateway.trace;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/** Asks one Jaeger for traces, within bounds of time and size. Thread-safe. */
final class JaegerTraces implements AutoCloseable {

    private static final Duration PATIENCE = Duration.ofSeconds(5);
    private static final long BYTES_MAX = 8 << 20;

    private final String base;
    private final HttpClient client;

    JaegerTraces(URI address) {
        this.base = address.toString().replaceAll("/+$", "");
        this.client = HttpClient.newBuilder()
                .connectTimeout(PATIENCE)
                .followRedirects(HttpClient.Redirect.NEVER)
                .build();
    }

    /** The trace; without lines, and with the reason, where Jaeger has none or does not answer as it should. */
    CompletableFuture<Waterfall> of(String trace) {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + "/api/traces/" + trace))
                .timeout(PATIENCE)
                .header("Accept", "application/json")
                .build();
        return client.sendAsync(request, BodyHandlers.limiting(BodyHandlers.ofByteArray(), BYTES_MAX))
                .orTimeout(2 * PATIENCE.toMillis(), TimeUnit.MILLISECONDS)
                .handle((answer, failure) -> answer == null
                        ? none("Jaeger does not answer (" + failure.getClass().getSimpleName() + ")")
                        : read(answer));
    }

    private static Waterfall read(HttpResponse<byte[]> answer) {
        if (answer.statusCode() == 404) {
            return none("Jaeger has no such trace, or not yet");
        }
        if (answer.statusCode() != 200) {
            return none("Jaeger answers with status " + answer.statusCode());
        }
        try {
            Waterfall read = JaegerSpans.read(JsonMapper.shared().readTree(answer.body()));
            return read.lines().isEmpty() ? none("Jaeger has no such trace, or not yet") : read;
        } catch (JacksonException e) {
            return none("Jaeger's answer is no JSON");
        }
    }

    private static Waterfall none(String why) {
        return new Waterfall("jaeger", false, why, List.of());
    }

    @Override
    public void close() {
        client.shutdownNow();
    }
}
