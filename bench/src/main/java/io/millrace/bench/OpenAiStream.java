package io.millrace.bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.config.ConnectionConfig;
import org.apache.hc.client5.http.impl.DefaultClientConnectionReuseStrategy;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.ByteArrayEntity;
import org.apache.hc.core5.pool.PoolConcurrencyPolicy;
import org.apache.hc.core5.pool.PoolReusePolicy;
import org.apache.hc.core5.util.Timeout;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Streams chat completions from any OpenAI-compatible server. Its caller's thread writes the request and reads the answer, with no other in
 * between: a client that hands them on measures itself too. Thread-safe.
 */
final class OpenAiStream {

    private static final Duration TIMEOUT = Duration.ofMinutes(5);
    private static final int CONNECTIONS_MAX = 16_384;
    private static final int BUFFER_BYTES = 8_192;
    private static final String TEXT = "\"content\":\"";

    private final CloseableHttpClient client;
    private final @Nullable String authorization;
    private final JsonMapper json = new JsonMapper();
    private final String endpoint;
    private final String model;

    /**
     * For that server.
     *
     * @param base with or without {@code /v1}
     */
    OpenAiStream(String base, String model, @Nullable String apiKey) {
        this(base, model, apiKey, true);
    }

    /** One that connects for each request: some servers promise to keep a connection and close it after a stream, as llama.cpp's does. */
    static OpenAiStream connectingAnew(String base, String model, @Nullable String apiKey) {
        return new OpenAiStream(base, model, apiKey, false);
    }

    private OpenAiStream(String base, String model, @Nullable String apiKey, boolean keep) {
        String trimmed = base.replaceAll("/+$", "").replaceAll("/v1$", "");
        this.endpoint = trimmed + "/v1/chat/completions";
        this.model = model;
        this.authorization = apiKey == null ? null : "Bearer " + apiKey;
        this.client = HttpClients.custom()
                .setConnectionReuseStrategy(
                        keep ? DefaultClientConnectionReuseStrategy.INSTANCE : (request, response, context) -> false)
                .setConnectionManager(PoolingHttpClientConnectionManagerBuilder.create()
                        .setMaxConnTotal(CONNECTIONS_MAX)
                        .setMaxConnPerRoute(CONNECTIONS_MAX)
                        .setPoolConcurrencyPolicy(PoolConcurrencyPolicy.LAX)
                        .setConnPoolPolicy(PoolReusePolicy.LIFO)
                        .setDefaultConnectionConfig(ConnectionConfig.custom()
                                .setConnectTimeout(Timeout.of(TIMEOUT))
                                .setSocketTimeout(Timeout.of(TIMEOUT))
                                .build())
                        .build())
                .disableAutomaticRetries()
                .disableAuthCaching()
                .disableContentCompression()
                .disableCookieManagement()
                .disableRedirectHandling()
                .build();
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
        HttpPost post = new HttpPost(endpoint);
        post.setEntity(new ByteArrayEntity(bytes, ContentType.APPLICATION_JSON));
        if (authorization != null) {
            post.setHeader("Authorization", authorization);
        }
        try {
            client.execute(post, response -> {
                answer.status = response.getCode();
                InputStream content = response.getEntity().getContent();
                byte[] buffer = new byte[BUFFER_BYTES];
                for (int n = content.read(buffer); n >= 0; n = content.read(buffer)) {
                    answer.read(buffer, n);
                }
                return null;
            });
        } catch (IOException e) {
            return answer.failed(e.getClass().getSimpleName());
        }
        return answer.times();
    }

    /** What has come of one answer. */
    private final class Answer {

        private final long sent = System.nanoTime();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private long[] gaps = new long[64];
        private int chunks;
        private int usage;
        private int promptTokens;
        private int cachedTokens;
        private long first;
        private long last;
        private boolean done;
        private int status;
        private @Nullable String fault;

        void read(byte[] bytes, int length) {
            long now = System.nanoTime();
            int from = 0;
            for (int i = 0; i < length; i++) {
                if (bytes[i] == '\n') {
                    line.write(bytes, from, i - from);
                    from = i + 1;
                    if (status == 200) {
                        line(line.toString(StandardCharsets.UTF_8), now);
                    }
                    line.reset();
                }
            }
            line.write(bytes, from, length - from);
        }

        private void line(String text, long now) {
            if (!text.startsWith("data:") || fault != null) {
                return;
            }
            if (text.stripTrailing().endsWith("[DONE]")) {
                done = true;
                return;
            }
            int at = text.indexOf(TEXT);
            if (at >= 0 && !text.contains("\"usage\":{")) {
                // Nearly all of them; a text's own quotes are escaped.
                if (text.charAt(at + TEXT.length()) != '"') {
                    text(now);
                }
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
            JsonNode counts = event.path("usage");
            usage = Math.max(usage, counts.path("completion_tokens").asInt(0));
            promptTokens = Math.max(promptTokens, counts.path("prompt_tokens").asInt(0));
            cachedTokens = Math.max(
                    cachedTokens,
                    counts.path("prompt_tokens_details").path("cached_tokens").asInt(0));
            JsonNode content = event.path("choices").path(0).path("delta").path("content");
            if (!content.asString("").isEmpty()) {
                text(now);
            }
        }

        private void text(long now) {
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
                    true,
                    "",
                    first,
                    Arrays.copyOf(gaps, chunks - 1),
                    total,
                    usage == 0 ? chunks : usage,
                    promptTokens,
                    cachedTokens);
        }
    }
}
