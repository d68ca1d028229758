package io.millrace.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Streams chat completions from any OpenAI-compatible server and takes their times. Thread-safe. */
final class OpenAiStream {

    private static final Duration TIMEOUT = Duration.ofMinutes(5);

    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(5))
            .build();
    private final JsonMapper json = new JsonMapper();
    private final URI endpoint;
    private final String model;
    private final @Nullable String apiKey;

    /**
     * For that server.
     *
     * @param base with or without {@code /v1}
     */
    OpenAiStream(String base, String model, @Nullable String apiKey) {
        String trimmed = base.replaceAll("/+$", "").replaceAll("/v1$", "");
        this.endpoint = URI.create(trimmed + "/v1/chat/completions");
        this.model = model;
        this.apiKey = apiKey;
    }

    /** One answer, read to its end on this thread. Greedy, and as long as asked where the server knows {@code ignore_eos}. */
    StreamTimes run(String prompt, int maxTokens, long seed) {
        ObjectNode body = json.createObjectNode()
                .put("model", model)
                .put("stream", true)
                .put("max_tokens", maxTokens)
                .put("temperature", 0)
                .put("seed", seed)
                .put("ignore_eos", true);
        body.putObject("stream_options").put("include_usage", true);
        body.putArray("messages").addObject().put("role", "user").put("content", prompt);
        HttpRequest.Builder request = HttpRequest.newBuilder(endpoint)
                .timeout(TIMEOUT)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(json.writeValueAsString(body)));
        if (apiKey != null) {
            request.header("Authorization", "Bearer " + apiKey);
        }
        long sent = System.nanoTime();
        try {
            HttpResponse<InputStream> response =
                    client.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
            try (InputStream in = response.body()) {
                return response.statusCode() == 200
                        ? read(in, sent)
                        : StreamTimes.failed("status " + response.statusCode(), System.nanoTime() - sent);
            }
        } catch (IOException | JacksonException e) {
            return StreamTimes.failed(e.getClass().getSimpleName(), System.nanoTime() - sent);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return StreamTimes.failed("interrupted", System.nanoTime() - sent);
        }
    }

    private StreamTimes read(InputStream in, long sent) throws IOException {
        long[] gaps = new long[64];
        int chunks = 0;
        int usage = 0;
        long first = 0;
        long last = 0;
        boolean done = false;
        try (var lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (!line.startsWith("data:")) {
                    continue;
                }
                long now = System.nanoTime();
                if (line.endsWith("[DONE]")) {
                    done = true;
                    continue;
                }
                JsonNode event = json.readTree(line.substring(5));
                if (event.has("error")) {
                    return StreamTimes.failed("error in the stream", now - sent);
                }
                usage = Math.max(
                        usage, event.path("usage").path("completion_tokens").asInt(0));
                if (!event.path("choices")
                        .path(0)
                        .path("delta")
                        .path("content")
                        .asString("")
                        .isEmpty()) {
                    if (chunks == 0) {
                        first = now - sent;
                    } else {
                        gaps = chunks > gaps.length ? Arrays.copyOf(gaps, 2 * gaps.length) : gaps;
                        gaps[chunks - 1] = now - last;
                    }
                    last = now;
                    chunks++;
                }
            }
        }
        long total = System.nanoTime() - sent;
        if (!done || chunks == 0) {
            return StreamTimes.failed(done ? "no token" : "cut off", total);
        }
        return new StreamTimes(true, "", first, Arrays.copyOf(gaps, chunks - 1), total, usage == 0 ? chunks : usage);
    }
}
