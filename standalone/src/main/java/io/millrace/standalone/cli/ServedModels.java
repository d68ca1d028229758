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

    /** The key that commands send. */
    static final String API_KEY = "MILLRACE_API_KEY";

    private static final Duration TIMEOUT = Duration.ofSeconds(3);
    private static final long POLL_MS = 25;

    private ServedModels() {}

    /**
     * A model that is served.
     *
     * @param tasks generate, embed, score; empty: not told
     */
    record Served(String name, List<String> tasks) {

        boolean generates() {
            return tasks.isEmpty() || tasks.contains("generate");
        }
    }

    /** The models in a gateway's list. */
    static List<Served> read(JsonNode list) {
        List<Served> models = new ArrayList<>();
        for (JsonNode model : list.path("data")) {
            List<String> tasks = new ArrayList<>();
            model.path("tasks").forEach(task -> tasks.add(task.asString()));
            models.add(new Served(model.path("id").asString(), tasks));
        }
        return models;
    }

    /** The gateway wants an API key. */
    private static final class Refused extends IOException {

        private static final long serialVersionUID = 1L;
    }

    /** Asks for the models; throws IOException when nothing answers there, or no list of models. */
    private static List<Served> ask(String url) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpRequest.Builder request =
                    HttpRequest.newBuilder(URI.create(url + "/v1/models")).timeout(TIMEOUT);
            String key = System.getenv(API_KEY);
            if (key != null) {
                request.header("Authorization", "Bearer " + key);
            }
            HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() == 401) {
                throw new Refused();
            }
            return read(new JsonMapper().readTree(response.body()));
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** For a person. */
    static List<String> lines(String url) {
        try {
            List<Served> models = ask(url);
            return models.isEmpty()
                    ? List.of("none now")
                    : models.stream()
                            .map(model -> model.name()
                                    + (model.generates() ? "" : " (" + String.join(", ", model.tasks()) + ")"))
                            .toList();
        } catch (Refused e) {
            return List.of("an API key is wanted: set " + API_KEY);
        } catch (IOException e) {
            return List.of("nothing answers there");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return List.of();
        }
    }

    /** The models served, as soon as there are any; empty when there are none in that time. */
    static List<Served> await(String url, Duration patience) {
        long end = System.nanoTime() + patience.toNanos();
        try {
            while (System.nanoTime() < end) {
                List<Served> models = List.of();
                try {
                    models = ask(url);
                } catch (Refused wantsKey) {
                    return List.of();
                } catch (IOException notYet) {
                    // Asked again.
                }
                if (!models.isEmpty()) {
                    return models;
                }
                Thread.sleep(POLL_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return List.of();
    }
}
