package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.MultipartField;
import com.openai.models.batches.Batch;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FilePurpose;
import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Batches whose gateways, router and worker are killed while they run. */
@Tag("long")
class KilledBatchTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final int LINES = 2_000;

    @TempDir
    Path dir;

    @Test
    void aBatchOutlivesEveryPartWithNoLineLostOrTwice() throws Exception {
        int[] ports = {Processes.freePort(), Processes.freePort(), Processes.freePort()};
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
                Processes processes = new Processes(dir)) {
            Process worker = part(
                    processes,
                    broker,
                    "worker",
                    "1",
                    "--model",
                    "mock:alpha",
                    "--set",
                    "millrace.worker.mock-step=5ms");
            Process router = part(processes, broker, "router", "1");
            Process first = gateway(processes, broker, ports[0]);
            Process second = gateway(processes, broker, ports[1]);
            SystemUnderTest.awaitServed(url(ports[0]), "alpha");
            SystemUnderTest.awaitServed(url(ports[1]), "alpha");
            String alone = SystemUnderTest.send(url(ports[0]) + CHAT, BatchTest.chat("question 17", 40))
                    .body();
            OpenAIClient client = client(ports[0]);
            String id = create(client, LINES, i -> BatchTest.chat("question " + i, 40));
            awaitCompleted(client, id, 100);
            client.close();
            Processes.kill(first);
            client = client(ports[1]);
            awaitCompleted(client, id, 400);
            Processes.kill(worker);
            part(processes, broker, "worker", "2", "--model", "mock:alpha", "--set", "millrace.worker.mock-step=5ms");
            awaitCompleted(client, id, 700);
            Processes.kill(router);
            part(processes, broker, "router", "2");
            awaitCompleted(client, id, 1_000);
            client.close();
            Processes.kill(second);
            gateway(processes, broker, ports[2]);
            SystemUnderTest.awaitServed(url(ports[2]), "alpha");
            check(client(ports[2]), id, alone);
        }
    }

    /** As many lines as OpenAI takes, in a file of half the heap of the gateways that run them, the first of which is killed. */
    @Test
    void fiftyThousandLinesAreAnsweredAcrossARestartInLittleMemory() throws Exception {
        int lines = 50_000;
        int[] ports = {Processes.freePort(), Processes.freePort()};
        String bulk = "\"metadata\":{\"a\":\"" + "x".repeat(500) + "\",\"b\":\"" + "y".repeat(500) + "\"},";
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), 0));
                Processes processes = new Processes(dir)) {
            part(processes, broker, "worker", "1", "--model", "mock:alpha");
            part(processes, broker, "router", "1");
            Process first = small(processes, broker, ports[0]);
            SystemUnderTest.awaitServed(url(ports[0]), "alpha");
            OpenAIClient client = client(ports[0]);
            long start = System.nanoTime();
            String id = create(
                    client,
                    lines,
                    i -> "{" + bulk + BatchTest.chat("question " + i, 1).substring(1));
            awaitCompleted(client, id, 20_000);
            client.close();
            assertThat(first.isAlive()).as("the first gateway, by then").isTrue();
            Processes.kill(first);
            Process second = small(processes, broker, ports[1]);
            SystemUnderTest.awaitServed(url(ports[1]), "alpha");
            client = client(ports[1]);
            awaitCompleted(client, id, 35_000);
            awaitCompleted(client, id, lines);
            Batch batch = ended(client, id);
            System.out.printf("50,000 lines in %d s%n", (System.nanoTime() - start) / 1_000_000_000);
            assertThat(second.isAlive()).as("the second gateway, at the end").isTrue();
            assertThat(batch.requestCounts().orElseThrow().completed()).isEqualTo(lines);
            assertThat(batch.errorFileId()).isEmpty();
            String content = BatchTest.content(client, batch.outputFileId().orElseThrow());
            List<String> ids = content.lines()
                    .map(line -> line.replaceFirst(".*\"custom_id\":\"([^\"]+)\".*", "$1"))
                    .toList();
            assertThat(ids).hasSize(lines);
            assertThat(Set.copyOf(ids))
                    .isEqualTo(
                            IntStream.range(0, lines).mapToObj(i -> "id-" + i).collect(Collectors.toSet()));
            client.close();
        }
    }

    private static Batch ended(OpenAIClient client, String id) throws InterruptedException {
        Processes.await(
                "its end", () -> client.batches().retrieve(id).completedAt().isPresent());
        return client.batches().retrieve(id);
    }

    private static void check(OpenAIClient client, String id, String alone) throws Exception {
        Batch batch = ended(client, id);
        assertThat(batch.requestCounts().orElseThrow().completed()).isEqualTo(LINES);
        assertThat(batch.requestCounts().orElseThrow().failed()).isZero();
        String content = BatchTest.content(client, batch.outputFileId().orElseThrow());
        Map<String, JsonNode> lines = BatchTest.lines(content);
        assertThat(lines).hasSize(LINES);
        assertThat(lines.get("id-17").get("response").get("body").get("choices"))
                .isEqualTo(new JsonMapper().readTree(alone).get("choices"));
        client.close();
    }

    private static String create(OpenAIClient client, int lines, IntFunction<String> body) {
        String input = IntStream.range(0, lines)
                .mapToObj(i -> BatchTest.line("id-" + i, CHAT, body.apply(i)))
                .collect(Collectors.joining());
        String file = client.files()
                .create(FileCreateParams.builder()
                        .purpose(FilePurpose.BATCH)
                        .file(MultipartField.<InputStream>builder()
                                .value(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)))
                                .filename("in.jsonl")
                                .build())
                        .build())
                .id();
        return client.batches()
                .create(BatchCreateParams.builder()
                        .inputFileId(file)
                        .endpoint(BatchCreateParams.Endpoint.of(CHAT))
                        .completionWindow(BatchCreateParams.CompletionWindow._24H)
                        .build())
                .id();
    }

    private static void awaitCompleted(OpenAIClient client, String id, long count) throws InterruptedException {
        Processes.await(
                count + " lines",
                () -> client.batches()
                                .retrieve(id)
                                .requestCounts()
                                .orElseThrow()
                                .completed()
                        >= count);
    }

    private static OpenAIClient client(int port) {
        return OpenAIOkHttpClient.builder()
                .baseUrl(url(port) + "/v1")
                .apiKey("none")
                .maxRetries(3)
                .build();
    }

    private static String url(int port) {
        return "http://127.0.0.1:" + port;
    }

    private static Process small(Processes processes, EmbeddedBroker broker, int port) throws IOException {
        String name = "gateway-" + port;
        return processes.start(name, "128m", arguments(broker, "gateway", "--port", String.valueOf(port)));
    }

    private static Process gateway(Processes processes, EmbeddedBroker broker, int port) throws IOException {
        return start(processes, broker, "gateway", "gateway-" + port, "--port", String.valueOf(port));
    }

    private static Process part(Processes processes, EmbeddedBroker broker, String role, String number, String... more)
            throws IOException {
        List<String> all = new ArrayList<>(List.of("--management-port", "0"));
        all.addAll(List.of(more));
        return start(processes, broker, role, role + "-" + number, all.toArray(String[]::new));
    }

    private static Process start(Processes processes, EmbeddedBroker broker, String role, String name, String... more)
            throws IOException {
        return processes.start(name, arguments(broker, role, more));
    }

    private static String[] arguments(EmbeddedBroker broker, String role, String... more) {
        List<String> all = new ArrayList<>(List.of(role, "--kafka", broker.bootstrap()));
        all.addAll(List.of("--set", "millrace.kafka.partitions=4", "--set", "millrace.kafka.slots=4"));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }
}
