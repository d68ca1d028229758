package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench mixed}: chats of four kinds (plain, by a JSON schema, with a forced tool call, with log probabilities), all
 * together and then one after the other. Says what batching gains, and fails unless each answer is the same both times.
 */
@Command(
        name = "mixed",
        description =
                "Plain, grammar, tool and logprobs requests together and one by one: tokens/s, and whether all are equal.",
        sortOptions = false)
final class MixedCommand implements Callable<Integer> {

    private static final String SCHEMA =
            "{\"type\":\"object\",\"properties\":{\"city\":{\"enum\":[\"Paris\",\"Rome\",\"Oslo\"]},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},"
                    + "\"required\":[\"city\",\"days\"],\"additionalProperties\":false}";
    private static final List<String> KINDS = List.of(
            "{}",
            "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"trip\",\"strict\":true,\"schema\":"
                    + SCHEMA + "}}}",
            "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"book\",\"strict\":true,\"parameters\":"
                    + SCHEMA + "}}],\"tool_choice\":\"required\"}",
            "{\"logprobs\":true,\"top_logprobs\":3}");

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The server (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(names = "--model", required = true, description = "The model's name.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--api-key", description = "Bearer token.")
    private @Nullable String apiKey;

    @Option(names = "--requests", defaultValue = "32", description = "How many (default ${DEFAULT-VALUE}).")
    private int requests;

    @Option(
            names = "--max-tokens",
            defaultValue = "64",
            description = "Tokens of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    private final JsonMapper json = new JsonMapper();
    private final HttpClient client = HttpClient.newHttpClient();

    /** One answer: what must be equal, and its length. */
    private record Answer(JsonNode choices, int tokens) {}

    @Override
    public Integer call() throws InterruptedException, ExecutionException {
        PrintWriter print = output.print();
        for (int i = 0; i < KINDS.size(); i++) {
            ask(i);
        }
        long began = System.nanoTime();
        List<Answer> together = together();
        double togetherS = (System.nanoTime() - began) / 1e9;
        began = System.nanoTime();
        List<Answer> alone = new ArrayList<>();
        for (int i = 0; i < requests; i++) {
            alone.add(ask(i));
        }
        double aloneS = (System.nanoTime() - began) / 1e9;
        int equal = 0;
        for (int i = 0; i < requests; i++) {
            equal += together.get(i).choices().equals(alone.get(i).choices()) ? 1 : 0;
        }
        int tokens = alone.stream().mapToInt(Answer::tokens).sum();
        print.printf("%-12s %8.1f tokens/s (%d tokens in %.1f s)%n", "together", tokens / togetherS, tokens, togetherS);
        print.printf("%-12s %8.1f tokens/s (%.1f s)%n", "one by one", tokens / aloneS, aloneS);
        print.printf("%-12s %8.2f%n", "ratio", aloneS / togetherS);
        print.printf("%-12s %8d of %d%n", "equal", equal, requests);
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "mixed")
                .put("model", model)
                .put("requests", requests)
                .put("max_tokens", maxTokens)
                .put("tokens", tokens)
                .put("together_tokens_per_s", tokens / togetherS)
                .put("one_by_one_tokens_per_s", tokens / aloneS)
                .put("equal", equal);
        output.write("mixed", all);
        return equal == requests ? 0 : 1;
    }

    private List<Answer> together() throws InterruptedException, ExecutionException {
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Answer>> asked = new ArrayList<>();
            for (int i = 0; i < requests; i++) {
                int number = i;
                asked.add(threads.submit(() -> ask(number)));
            }
            List<Answer> answers = new ArrayList<>();
            for (Future<Answer> each : asked) {
                answers.add(each.get());
            }
            return answers;
        }
    }

    private Answer ask(int number) throws InterruptedException {
        ObjectNode body = (ObjectNode) json.readTree(KINDS.get(number % KINDS.size()));
        body.put("model", model)
                .put("seed", number)
                .put("temperature", 0.8)
                .put("max_tokens", maxTokens)
                .putArray("messages")
                .addObject()
                .put("role", "user")
                .put("content", "Where shall I travel for " + (1 + number % 9) + " days, and why?");
        HttpRequest.Builder request = HttpRequest.newBuilder(
                        URI.create(url.replaceAll("/+$", "") + "/v1/chat/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()));
        if (apiKey != null) {
            request.header("Authorization", "Bearer " + apiKey);
        }
        try {
            HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new MillraceException(
                        "MR-BENCH-003", url + " answered " + response.statusCode() + ": " + response.body());
            }
            JsonNode answer = json.readTree(response.body());
            JsonNode choices = answer.path("choices");
            // Ids of calls are random by nature.
            choices.path(0).path("message").path("tool_calls").forEach(call -> ((ObjectNode) call).remove("id"));
            return new Answer(
                    choices, answer.path("usage").path("completion_tokens").asInt(0));
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-BENCH-003", url + " does not answer (" + e + "); start it, or give --url.", e);
        }
    }
}
