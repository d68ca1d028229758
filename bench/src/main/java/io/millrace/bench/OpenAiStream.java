package io.millrace.bench;

import io.netty.buffer.Unpooled;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Mono;
import reactor.netty.http.client.HttpClient;
import reactor.netty.resources.ConnectionProvider;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Streams chat completions from any OpenAI-compatible server and takes their times where the bytes arrive, on the connection's own
 * thread: a client that hands them on to others first measures itself too. Thread-safe.
 */
final class OpenAiStream {

    private static final Duration TIMEOUT = Duration.ofMinutes(5);
    private static final int CONNECTIONS_MAX = 16_384;

    private final HttpClient client;
    private final JsonMapper json = new JsonMapper();
    private final String endpoint;
    private final String model;

    /**
     * For that server.
     *
     * @param base with or without {@code /v1}
     */
    OpenAiStream(String base, String model, @Nullable String apiKey) {
        String trimmed = base.replaceAll("/+$", "").replaceAll("/v1$", "");
        this.endpoint = trimmed + "/v1/chat/completions";
        this.model = model;
        this.client = HttpClient.create(ConnectionProvider.create("bench", CONNECTIONS_MAX))
                .responseTimeout(TIMEOUT)
                .headers(headers -> {
                    headers.set("Content-Type", "application/json");
                    if (apiKey != null) {
                        headers.set("Authorization", "Bearer " + apiKey);
                    }
                });
    }

    /** One answer; returns when it has ended. Greedy, and as long as asked where the server knows {@code ignore_eos}. */
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
        byte[] bytes = json.writeValueAsBytes(body);
        Answer answer = new Answer();
        try {
            client.headers(headers -> headers.set("Content-Length", bytes.length))
                    .post()
                    .uri(endpoint)
                    .send(Mono.fromSupplier(() -> Unpooled.wrappedBuffer(bytes)))
                    .response((response, content) -> {
                        answer.status = response.status().code();
                        return content.asByteArray().doOnNext(answer::read);
                    })
                    .blockLast();
        } catch (RuntimeException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            return answer.failed(cause.getClass().getSimpleName());
        }
        return answer.times();
    }

    /** What has come of one answer: by its connection's thread until it ends. */
    private final class Answer {

        private final long sent = System.nanoTime();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private long[] gaps = new long[64];
        private int chunks;
        private int usage;
        private long first;
        private long last;
        private boolean done;
        private int status;
        private @Nullable String fault;

        void read(byte[] bytes) {
            long now = System.nanoTime();
            int from = 0;
            for (int i = 0; i < bytes.length; i++) {
                if (bytes[i] == '\n') {
                    line.write(bytes, from, i - from);
                    from = i + 1;
                    if (status == 200) {
                        line(line.toString(StandardCharsets.UTF_8), now);
                    }
                    line.reset();
                }
            }
            line.write(bytes, from, bytes.length - from);
        }

        private void line(String text, long now) {
            if (!text.startsWith("data:") || fault != null) {
                return;
            }
            if (text.stripTrailing().endsWith("[DONE]")) {
                done = true;
                return;
            }
            try {
                event(json.readTree(text.substring(5)), now);
            } catch (JacksonException e) {
                fault = e.getClass().getSimpleName();
            }
        }

        private void event(JsonNode event, long now) {
            if (event.has("error")) {
                fault = "error in the stream";
            }
            usage = Math.max(
                    usage, event.path("usage").path("completion_tokens").asInt(0));
            JsonNode content = event.path("choices").path(0).path("delta").path("content");
            if (content.asString("").isEmpty()) {
                return;
            }
            if (chunks == 0) {
                first = now - sent;
            } else {
                gaps = chunks > gaps.length ? Arrays.copyOf(gaps, 2 * gaps.length) : gaps;
                gaps[chunks - 1] = now - last;
            }
            last = now;
            chunks++;
        }

        StreamTimes failed(String why) {
            return StreamTimes.failed(why, System.nanoTime() - sent);
        }

        StreamTimes times() {
            if (status != 200) {
                return failed("status " + status);
            }
            if (fault != null) {
                return failed(fault);
            }
            if (!done || chunks == 0) {
                return failed(done ? "no token" : "cut off");
            }
            long total = System.nanoTime() - sent;
            return new StreamTimes(
                    true, "", first, Arrays.copyOf(gaps, chunks - 1), total, usage == 0 ? chunks : usage);
        }
    }
}
