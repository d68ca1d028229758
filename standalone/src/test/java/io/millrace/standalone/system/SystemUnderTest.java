package io.millrace.standalone.system;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** All parts in this JVM over a real broker and real HTTP, as {@code up} runs them. */
final class SystemUnderTest implements AutoCloseable {

    private static final HttpClient HTTP =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

    private final PartsApplication parts;
    private final Map<String, Object> flags;
    private final Runnable stopKafka;

    private SystemUnderTest(PartsApplication parts, Map<String, Object> flags, Runnable stopKafka) {
        this.parts = parts;
        this.flags = flags;
        this.stopKafka = stopKafka;
    }

    /**
     * Starts all, and waits until every model named is served.
     *
     * @param properties beside ports and Kafka's address
     */
    static SystemUnderTest start(Path dir, Map<String, Object> properties, String... models) throws Exception {
        EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
        return over(broker.bootstrap(), broker::close, properties, models);
    }

    /**
     * As {@link #start}, over a Kafka elsewhere.
     *
     * @param stopKafka runs after all parts have stopped
     */
    static SystemUnderTest over(String bootstrap, Runnable stopKafka, Map<String, Object> properties, String... models)
            throws Exception {
        Map<String, Object> flags = new HashMap<>(Map.of(
                "server.port", 0,
                "millrace.kafka.bootstrap-servers", bootstrap,
                "millrace.kafka.partitions", 4,
                "millrace.kafka.slots", 4));
        flags.putAll(properties);
        return start(EnumSet.allOf(Role.class), flags, stopKafka, models);
    }

    /** Parts of that role over the same Kafka; models that are given replace all that the others serve. */
    SystemUnderTest another(Role role, Map<String, Object> properties, String... models) throws Exception {
        Map<String, Object> own = new HashMap<>(flags);
        if (properties.containsKey("millrace.worker.models[0]")) {
            own.keySet().removeIf(name -> name.startsWith("millrace.worker.models["));
        }
        own.putAll(properties);
        return start(EnumSet.of(role), own, () -> {}, models);
    }

    private static SystemUnderTest start(
            Set<Role> roles, Map<String, Object> flags, Runnable stopKafka, String... models) throws Exception {
        PartsApplication parts = PartsApplication.start(
                EnumSet.copyOf(roles), flags, Map.of(), CompletableFuture.completedFuture(null), line -> {});
        SystemUnderTest system = new SystemUnderTest(parts, flags, stopKafka);
        try {
            for (Part part : parts.parts()) {
                part.started().get(120, TimeUnit.SECONDS);
            }
            for (String model : models) {
                awaitServed(system.url(), model);
            }
            return system;
        } catch (Exception | Error failure) {
            system.close();
            throw failure;
        }
    }

    String url() {
        return "http://127.0.0.1:" + parts.port();
    }

    String bootstrap() {
        return String.valueOf(flags.get("millrace.kafka.bootstrap-servers"));
    }

    OpenAIClient client() {
        return OpenAIOkHttpClient.builder()
                .baseUrl(url() + "/v1")
                .apiKey("none")
                .maxRetries(0)
                .build();
    }

    HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return fetch(url() + path);
    }

    static HttpResponse<String> fetch(String url, String... headers) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
        if (headers.length > 0) {
            request.headers(headers);
        }
        return HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    HttpResponse<String> delete(String path, String... headers) throws IOException, InterruptedException {
        return HTTP.send(
                HttpRequest.newBuilder(URI.create(url() + path))
                        .DELETE()
                        .headers(headers)
                        .build(),
                HttpResponse.BodyHandlers.ofString());
    }

    HttpResponse<String> post(String path, String body, String... headers) throws IOException, InterruptedException {
        return send(url() + path, body, headers);
    }

    static HttpResponse<String> send(String url, String body, String... headers)
            throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
                .timeout(Duration.ofSeconds(120))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body));
        for (int i = 0; i + 1 < headers.length; i += 2) {
            request.setHeader(headers[i], headers[i + 1]);
        }
        return HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    /** @param headers of the requests, such as one with a key */
    static void awaitServed(String url, String model, String... headers) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        String seen = "";
        while (System.nanoTime() < end) {
            try {
                seen = fetch(url + "/v1/models", headers).body();
                if (seen.contains("\"" + model + "\"")) {
                    return;
                }
            } catch (IOException notYet) {
                seen = notYet.toString();
            }
            Thread.sleep(20);
        }
        throw new AssertionError(model + " is not served after 120 s: " + seen);
    }

    @Override
    public void close() {
        parts.close();
        stopKafka.run();
    }
}
