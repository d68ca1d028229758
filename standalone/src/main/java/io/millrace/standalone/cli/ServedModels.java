package io.millrace.standalone.cli;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What a gateway says that it serves. */
final class ServedModels {

    private static final Duration TIMEOUT = Duration.ofSeconds(3);
    private static final long POLL_MS = 25;

    private ServedModels() {}

    /** Ids of the models; throws IOException when nothing answers there, or no list of models. */
    static List<String> ask(String url) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpResponse<String> response = client.send(
                    HttpRequest.newBuilder(URI.create(url + "/v1/models"))
                            .timeout(TIMEOUT)
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            List<String> names = new ArrayList<>();
            for (JsonNode model : new JsonMapper().readTree(response.body()).path("data")) {
                names.add(model.path("id").asString());
            }
            return names;
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** For a person. */
    static List<String> lines(String url) {
        try {
            List<String> names = ask(url);
            return names.isEmpty() ? List.of("none now") : names;
        } catch (IOException e) {
            return List.of("nothing answers there");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return List.of();
        }
    }

    /** The first model served, as soon as there is one; empty when there is none in that time. */
    static String awaitFirst(String url, Duration patience) {
        long end = System.nanoTime() + patience.toNanos();
        try {
            while (System.nanoTime() < end) {
                List<String> names = List.of();
                try {
                    names = ask(url);
                } catch (IOException notYet) {
                    // Asked again.
                }
                if (!names.isEmpty()) {
                    return names.getFirst();
                }
                Thread.sleep(POLL_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return "";
    }
}
