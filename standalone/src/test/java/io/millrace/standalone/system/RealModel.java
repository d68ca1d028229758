package io.millrace.standalone.system;

import io.millrace.worker.model.TestModels;
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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Requests to the real model, SmolLM2-135M-Instruct, and their streamed answers, read as any HTTP client reads them. */
final class RealModel {

    /** The name it is served under in these tests. */
    static final String NAME = "smol";

    private static final JsonMapper JSON = new JsonMapper();
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final List<String> QUESTIONS = List.of(
            "Why is the sky blue?",
            "Write a short poem about the sea.",
            "Explain what a hash table is, and when a tree is better.",
            "Translate to French: the cat sleeps on the warm roof.",
            "List three facts about the moon.",
            "Was ist der Unterschied zwischen Tee und Kaffee? \u00dc\u00e4\u00f6\u00df \u732b",
            "Continue the story: Once upon a time a small robot lived beside a mill, and every morning it");

    private RealModel() {}

    /** What {@code --model} takes for it; skips the calling test, saying why, when the model cannot be had. */
    static String spec() {
        return NAME + "=" + TestModels.smollm2();
    }

    /**
     * A whole streamed answer.
     *
     * @param choices by index: text and finish reason
     * @param tokens completion tokens of all choices, as its usage says
     */
    record Answer(Map<Integer, String> choices, int tokens) {}

    /** A streamed, greedy chat request; its prompt differs from that of every other number. */
    static ObjectNode request(int number, int maxTokens) {
        ObjectNode body = JSON.createObjectNode()
                .put("model", NAME)
                .put("stream", true)
                .put("temperature", 0)
                .put("max_tokens", maxTokens);
        body.putObject("stream_options").put("include_usage", true);
        body.putArray("messages")
                .addObject()
                .put("role", "user")
                .put("content", "(" + number + ") " + QUESTIONS.get(number % QUESTIONS.size()));
        return body;
    }

    /** All of them at once; each is told to {@code begun} when its first text has come. */
    static List<Future<Answer>> together(
            ExecutorService threads, String url, List<ObjectNode> requests, java.util.function.IntConsumer begun) {
        List<Future<Answer>> answers = new ArrayList<>();
        for (int i = 0; i < requests.size(); i++) {
            int number = i;
            answers.add(threads.submit(() -> stream(url, requests.get(number), () -> begun.accept(number))));
        }
        return answers;
    }

    /** Waits for them all. */
    static List<Answer> join(List<Future<Answer>> answers) throws Exception {
        List<Answer> joined = new ArrayList<>();
        for (Future<Answer> each : answers) {
            joined.add(each.get(180, TimeUnit.SECONDS));
        }
        return joined;
    }

    /** Sends one and reads its stream to the end. */
    static Answer stream(String url, ObjectNode body, Runnable onFirstText) throws IOException, InterruptedException {
        HttpResponse<InputStream> response = HTTP.send(
                HttpRequest.newBuilder(URI.create(url + "/v1/chat/completions"))
                        .timeout(Duration.ofSeconds(180))
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                        .build(),
                HttpResponse.BodyHandlers.ofInputStream());
        if (response.statusCode() != 200) {
            String why = new String(response.body().readAllBytes(), StandardCharsets.UTF_8);
            throw new IOException("status " + response.statusCode() + ": " + why);
        }
        Map<Integer, String> choices = new TreeMap<>();
        int tokens = 0;
        boolean done = false;
        boolean begun = false;
        try (var lines = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (!line.startsWith("data: ")) {
                    continue; // empty, a comment, or the event's id
                }
                if (line.equals("data: [DONE]")) {
                    done = true;
                    continue;
                }
                JsonNode event = JSON.readTree(line.substring(6));
                if (event.has("error")) {
                    throw new IOException("the stream ends with " + event);
                }
                tokens += event.path("usage").path("completion_tokens").asInt(0);
                for (JsonNode choice : event.path("choices")) {
                    String text = choice.path("delta").path("content").asString("");
                    String finish = choice.path("finish_reason").asString("");
                    choices.merge(
                            choice.path("index").asInt(),
                            text + (finish.isEmpty() ? "" : " [" + finish + "]"),
                            String::concat);
                    if (!begun && !text.isEmpty()) {
                        begun = true;
                        onFirstText.run();
                    }
                }
            }
        }
        if (!done) {
            throw new IOException("the stream broke off after " + choices);
        }
        return new Answer(choices, tokens);
    }
}
