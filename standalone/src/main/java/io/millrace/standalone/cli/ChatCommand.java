package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code millrace chat}: talks to a running gateway over its REST API, as any client would. */
@Command(
        name = "chat",
        description = "Talks to a running Millrace (or any OpenAI-compatible server) in the terminal. "
                + "With a message: one answer. Without: a conversation, until end of input, /quit; /new forgets it.",
        sortOptions = false)
final class ChatCommand implements Callable<Integer> {

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The gateway (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(names = "--model", description = "Which model; without it the first one served.")
    private @Nullable String model;

    @Option(names = "--system", description = "A system message.")
    private @Nullable String system;

    @Option(
            names = "--api-key",
            defaultValue = "${env:MILLRACE_API_KEY}",
            description = "Where the gateway wants one (default: MILLRACE_API_KEY).")
    private @Nullable String apiKey;

    @Option(names = "--temperature", description = "0 is greedy.")
    private @Nullable Double temperature;

    @Option(names = "--max-tokens", defaultValue = "512", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Parameters(arity = "0..*", paramLabel = "MESSAGE", description = "One question instead of a conversation.")
    @SuppressWarnings("NullAway.Init")
    private String @Nullable [] words;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    private final JsonMapper json = new JsonMapper();
    private final HttpClient client =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter out = spec.commandLine().getOut();
        String name = model == null ? firstModel() : model;
        ArrayNode messages = fresh();
        if (words != null && words.length > 0) {
            messages.add(message("user", String.join(" ", words)));
            answer(name, messages, out);
            return 0;
        }
        // Through a pipe the output is the answers and nothing else.
        java.io.Console console = System.console();
        boolean terminal = console != null && console.isTerminal();
        if (terminal) {
            out.println(name + " at " + url + " (/new starts over, /quit ends)");
        }
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (true) {
            if (terminal) {
                out.print("> ");
                out.flush();
            }
            String line = in.readLine();
            if (line == null || line.strip().equals("/quit")) {
                if (terminal && line == null) {
                    out.println();
                }
                return 0;
            }
            if (line.strip().equals("/new")) {
                messages = fresh();
            } else if (!line.isBlank()) {
                messages.add(message("user", line));
                try {
                    messages.add(message("assistant", answer(name, messages, out)));
                } catch (MillraceException refused) {
                    messages.remove(messages.size() - 1);
                    out.println(refused);
                }
            }
        }
    }

    private ArrayNode fresh() {
        ArrayNode messages = json.createArrayNode();
        if (system != null) {
            messages.add(message("system", system));
        }
        return messages;
    }

    private ObjectNode message(String role, String content) {
        return json.createObjectNode().put("role", role).put("content", content);
    }

    private HttpRequest.Builder request(String path) {
        try {
            var request = HttpRequest.newBuilder(URI.create(url.replaceAll("/+$", "") + path));
            return apiKey == null ? request : request.header("Authorization", "Bearer " + apiKey);
        } catch (IllegalArgumentException noAddress) {
            throw new MillraceException("MR-CHAT-001", "'" + url + "' is no address. Write --url http://host:port.");
        }
    }

    private String firstModel() throws InterruptedException {
        HttpResponse<InputStream> response = send(request("/v1/models").build());
        return ServedModels.read(json.readTree(response.body())).stream()
                .filter(ServedModels.Served::generates)
                .findFirst()
                .map(ServedModels.Served::name)
                .orElseThrow(() -> new MillraceException(
                        "MR-CHAT-002",
                        url + " serves no model that generates now (status " + response.statusCode()
                                + "). Start a worker with one."));
    }

    private HttpResponse<InputStream> send(HttpRequest request) throws InterruptedException {
        try {
            return client.send(request, HttpResponse.BodyHandlers.ofInputStream());
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-CHAT-001",
                    "Nothing answers at " + url + " (" + e + "). Start it with './millrace up', or name it with --url.",
                    e);
        }
    }

    /** Streams one answer to the terminal; returns its text. */
    private String answer(String name, ArrayNode messages, PrintWriter out) throws IOException, InterruptedException {
        ObjectNode body =
                json.createObjectNode().put("model", name).put("stream", true).put("max_tokens", maxTokens);
        if (temperature != null) {
            body.put("temperature", temperature);
        }
        body.set("messages", messages);
        HttpResponse<InputStream> response = send(request("/v1/chat/completions")
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(json.writeValueAsString(body)))
                .build());
        if (response.statusCode() != 200) {
            JsonNode error = errorOf(response.body().readAllBytes());
            throw new MillraceException(
                    "MR-CHAT-003",
                    "The server refused (status " + response.statusCode() + "): "
                            + error.path("message").asString("no reason given"));
        }
        StringBuilder text = new StringBuilder();
        try (var lines = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("data:") && !line.endsWith("[DONE]")) {
                    JsonNode event = json.readTree(line.substring(5));
                    if (event.has("error")) {
                        throw new MillraceException(
                                "MR-CHAT-003",
                                "The answer broke off: "
                                        + event.path("error").path("message").asString(""));
                    }
                    String delta = event.path("choices")
                            .path(0)
                            .path("delta")
                            .path("content")
                            .asString("");
                    text.append(delta);
                    out.print(delta);
                    out.flush();
                }
            }
        }
        out.println();
        return text.toString();
    }

    private JsonNode errorOf(byte[] body) {
        try {
            return json.readTree(body).path("error");
        } catch (RuntimeException notJson) {
            return json.createObjectNode();
        }
    }
}
