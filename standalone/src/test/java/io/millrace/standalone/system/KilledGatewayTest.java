package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.json.JsonMapper;

/** Real gateways and routers, killed while clients read. */
@Tag("long")
class KilledGatewayTest {

    private static final int STREAMS = 32;
    private static final int TOKENS = 200;
    private static final HttpClient HTTP =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    @TempDir
    Path dir;

    @Test
    void clientsOfAKilledGatewayGetTheRestAtAnotherAndKeysOutliveARouter() throws Exception {
        int[] ports = {Processes.freePort(), Processes.freePort()};
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
                Processes processes = new Processes(dir);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            start(processes, broker, "worker", "--model", "mock:alpha", "--set", "millrace.worker.mock-step=20ms");
            Process router = start(processes, broker, "router");
            Process gateway = processes.start("gateway-1", with(broker, "gateway", "--port", String.valueOf(ports[0])));
            processes.start("gateway-2", with(broker, "gateway", "--port", String.valueOf(ports[1])));
            for (int port : ports) {
                SystemUnderTest.awaitServed("http://127.0.0.1:" + port, "alpha");
            }
            String key = UUID.randomUUID().toString();
            String once = SystemUnderTest.send(chat(ports[0]), body("keyed"), "Idempotency-Key", key)
                    .body();

            var begun = new AtomicInteger();
            List<Future<List<String>>> cut = new ArrayList<>();
            for (int i = 0; i < STREAMS; i++) {
                int number = i;
                cut.add(threads.submit(() -> untilCut(ports[0], "stream " + number, begun)));
            }
            var socket = new Socket("http://127.0.0.1:" + ports[0]);
            socket.send("{\"type\":\"response.create\",\"model\":\"alpha\",\"ignore_eos\":true,\"input\":\"socket\","
                    + "\"max_output_tokens\":" + TOKENS + "}");
            List<String> told = socket.until(event -> event.contains("\"sequence_number\":9"));
            Processes.await("the first events of all", () -> begun.get() == STREAMS);
            Processes.kill(gateway);
            socket.close();
            resumed(ports[1], told);
            List<Future<String>> whole = new ArrayList<>();
            for (Future<List<String>> each : cut) {
                List<String> seen = each.get(60, TimeUnit.SECONDS);
                whole.add(threads.submit(() -> String.join("", seen) + rest(ports[1], seen.getLast(), seen)));
            }
            for (int i = 0; i < STREAMS; i++) {
                String events = whole.get(i).get(60, TimeUnit.SECONDS);
                assertThat(events).endsWith("data: [DONE]\n\n").contains("\"completion_tokens\":" + TOKENS);
                String id = id(events);
                HttpResponse<String> again = get(ports[1], id, "?stream=true", "X-Millrace-Event-Ids", "true");
                assertThat(events).as("stream %d", i).isEqualTo(again.body());
            }

            Processes.kill(router);
            processes.start("router-2", with(broker, "router", "--management-port", "0"));
            SystemUnderTest.awaitServed("http://127.0.0.1:" + ports[1], "alpha");
            assertThat(SystemUnderTest.send(chat(ports[1]), body("keyed"), "Idempotency-Key", key)
                            .body())
                    .isEqualTo(once);
            assertThat(SystemUnderTest.send(chat(ports[1]), body("another"), "Idempotency-Key", key)
                            .statusCode())
                    .isEqualTo(422);
        }
    }

    /** A response over a WebSocket goes on, without a gap, over one of another gateway. */
    private static void resumed(int port, List<String> events) throws Exception {
        String id = new JsonMapper()
                .readTree(events.getFirst())
                .get("response")
                .get("id")
                .asString();
        try (Socket socket = new Socket("http://127.0.0.1:" + port)) {
            socket.send("{\"type\":\"response.resume\",\"response_id\":\"" + id + "\",\"starting_after\":9}");
            events.addAll(socket.until(event -> event.contains("\"type\":\"response.incomplete\"")));
        }
        for (int i = 0; i < events.size(); i++) {
            assertThat(events.get(i)).contains("\"sequence_number\":" + i + ",");
        }
        assertThat(events.getLast()).contains("\"output_tokens\":" + TOKENS);
    }

    private static Process start(Processes processes, EmbeddedBroker broker, String role, String... more)
            throws IOException {
        List<String> all = new ArrayList<>(List.of(with(broker, role, "--management-port", "0")));
        all.addAll(List.of(more));
        return processes.start(role, all.toArray(String[]::new));
    }

    private static String[] with(EmbeddedBroker broker, String... first) {
        List<String> all = new ArrayList<>(List.of(first));
        all.addAll(List.of(
                "--kafka",
                broker.bootstrap(),
                "--set",
                "millrace.kafka.partitions=4",
                "--set",
                "millrace.kafka.slots=4"));
        return all.toArray(String[]::new);
    }

    private static String chat(int port) {
        return "http://127.0.0.1:" + port + "/v1/chat/completions";
    }

    private static String body(String text) {
        return "{\"model\":\"alpha\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"ignore_eos\":true,"
                + "\"max_tokens\":" + TOKENS + ",\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";
    }

    /** The whole events that come before the connection breaks. */
    private static List<String> untilCut(int port, String text, AtomicInteger begun) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(chat(port)))
                .header("Content-Type", "application/json")
                .header("X-Millrace-Event-Ids", "true")
                .POST(HttpRequest.BodyPublishers.ofString(body(text)))
                .build();
        List<String> events = new ArrayList<>();
        HttpResponse<InputStream> response = HTTP.send(request, HttpResponse.BodyHandlers.ofInputStream());
        try (var reader = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            var event = new StringBuilder();
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                event.append(line).append('\n');
                if (line.isEmpty()) {
                    events.add(event.toString());
                    event.setLength(0);
                    if (events.size() == 3) {
                        begun.incrementAndGet();
                    }
                }
            }
            throw new AssertionError("the stream ended before the gateway was killed");
        } catch (IOException killed) {
            return events;
        }
    }

    private static String rest(int port, String last, List<String> seen) throws Exception {
        String place = last.lines()
                .filter(line -> line.startsWith("id: "))
                .findFirst()
                .orElseThrow()
                .substring(4);
        HttpResponse<String> rest = get(port, id(seen.getFirst()), "", "Last-Event-ID", place);
        assertThat(rest.statusCode()).as(rest.body()).isEqualTo(200);
        return rest.body();
    }

    private static HttpResponse<String> get(int port, String id, String query, String... headers) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(chat(port) + "/" + id + query))
                .headers(headers)
                .build();
        return HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    }

    private static String id(String events) {
        String data = events.lines()
                .filter(line -> line.startsWith("data: {"))
                .findFirst()
                .orElseThrow()
                .substring(6);
        return new JsonMapper().readTree(data).get("id").asString();
    }
}
