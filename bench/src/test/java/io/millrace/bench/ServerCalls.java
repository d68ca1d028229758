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
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Asks a server of ours over HTTP, as its users do. Thread-safe. */
final class ServerCalls implements AutoCloseable {

    static final String COMPLETIONS = "/v1/completions";
    static final String CHAT = "/v1/chat/completions";

    private static final Duration PATIENCE = Duration.ofSeconds(180);

    /** Hears how many parts of a text have come. */
    interface Parts {
        void came(int parts) throws IOException, InterruptedException;
    }

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final JsonMapper json = new JsonMapper();
    private final String url;
    private final String model;

    ServerCalls(ServedFile served) {
        this.url = served.url();
        this.model = served.model();
    }

    /** A completion of so many tokens, whatever they are. */
    ObjectNode completion(String prompt, int tokens, double temperature, long seed) {
        return body(tokens, temperature, seed).put("prompt", prompt);
    }

    /** The greedy completion of a prompt of ids; all tokens are written. */
    ObjectNode completion(List<Integer> prompt, int tokens) {
        ObjectNode body = body(tokens, 0, 1).put("skip_special_tokens", false);
        prompt.forEach(body.putArray("prompt")::add);
        return body;
    }

    ObjectNode chat(JsonNode messages, int tokens) {
        return body(tokens, 0, 1).set("messages", messages);
    }

    private ObjectNode body(int tokens, double temperature, long seed) {
        return json.createObjectNode()
                .put("model", model)
                .put("max_tokens", tokens)
                .put("temperature", temperature)
                .put("seed", seed)
                .put("ignore_eos", true);
    }

    /** The answer in one piece. */
    JsonNode whole(String path, ObjectNode body) throws IOException, InterruptedException {
        HttpResponse<String> answer = http.send(post(path, body), HttpResponse.BodyHandlers.ofString());
        return json.readTree(ok(answer.statusCode(), answer.body()));
    }

    /** The text of the answer in one piece. */
    String text(String path, ObjectNode body) throws IOException, InterruptedException {
        return text(whole(path, body));
    }

    /** The text of the answer as a stream. */
    String streamed(String path, ObjectNode body, Parts parts) throws IOException, InterruptedException {
        HttpResponse<InputStream> answer =
                http.send(post(path, body.deepCopy().put("stream", true)), HttpResponse.BodyHandlers.ofInputStream());
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8))) {
            if (answer.statusCode() != 200) {
                ok(answer.statusCode(), lines.readAllAsString());
            }
            StringBuilder all = new StringBuilder();
            int came = 0;
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.equals("data: [DONE]")) {
                    return all.toString();
                }
                String part = line.startsWith("data:") ? text(json.readTree(line.substring(5))) : "";
                if (!part.isEmpty()) {
                    all.append(part);
                    parts.came(++came);
                }
            }
            throw new IOException("the stream ends after " + came + " parts without [DONE]: " + all);
        }
    }

    String streamed(String path, ObjectNode body) throws IOException, InterruptedException {
        return streamed(path, body, parts -> {});
    }

    JsonNode get(String path) throws IOException, InterruptedException {
        HttpResponse<String> answer = http.send(
                HttpRequest.newBuilder(URI.create(url + path)).timeout(PATIENCE).build(),
                HttpResponse.BodyHandlers.ofString());
        return json.readTree(ok(answer.statusCode(), answer.body()));
    }

    PrometheusText metrics() throws IOException, InterruptedException {
        return PrometheusText.read(http, PrometheusText.at(url));
    }

    private HttpRequest post(String path, ObjectNode body) {
        return HttpRequest.newBuilder(URI.create(url + path))
                .timeout(PATIENCE)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                .build();
    }

    private static String ok(int status, String body) throws IOException {
        if (status != 200) {
            throw new IOException("status " + status + ": " + body.substring(0, Math.min(300, body.length())));
        }
        return body;
    }

    /** Of a completion, a chat, or a part of one; empty where there is none. */
    private static String text(JsonNode answer) {
        JsonNode choice = answer.path("choices").path(0);
        JsonNode text = choice.path("text");
        if (text.isMissingNode()) {
            text = choice.path(choice.has("delta") ? "delta" : "message").path("content");
        }
        return text.isString() ? text.stringValue() : "";
    }

    @Override
    public void close() {
        http.shutdownNow();
    }
}
