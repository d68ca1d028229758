package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.core.JsonValue;
import com.openai.core.http.StreamResponse;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseRetrieveParams;
import com.openai.models.responses.ResponseStatus;
import com.openai.models.responses.ResponseStreamEvent;
import io.millrace.standalone.parts.Role;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Clients that come back: at another gateway, by another connection, before and after the end. */
@Timeout(120)
class ResumeTest {

    private static final HttpClient HTTP =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static final JsonMapper JSON = new JsonMapper();
    private static final String CHAT = "/v1/chat/completions";
    private static final String RESPONSES = "/v1/responses";
    private static final String[] IDS = {"X-Millrace-Event-Ids", "true"};

    @TempDir
    static Path dir;

    private static SystemUnderTest one;
    /** Polls one record at a time, and belongs to other tenants too. */
    private static SystemUnderTest other;

    @BeforeAll
    static void start() throws Exception {
        one = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]", "mock:alpha",
                        "millrace.worker.mock-step", "10ms",
                        "millrace.router.detach-grace", "1s"),
                "alpha");
        other = one.another(
                Role.GATEWAY,
                Map.of("millrace.kafka.client.max.poll.records", "1", "millrace.gateway.scans", "2"),
                "alpha");
    }

    @AfterAll
    static void stop() {
        if (other != null) {
            other.close();
        }
        if (one != null) {
            one.close();
        }
    }

    private static String chat(String text, int tokens) {
        return "{\"model\":\"alpha\",\"stream\":true,\"n\":2,\"stream_options\":{\"include_usage\":true},"
                + "\"ignore_eos\":true,\"max_tokens\":" + tokens
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";
    }

    private static String response(String text, int tokens, String more) {
        return "{\"model\":\"alpha\",\"ignore_eos\":true,\"max_output_tokens\":" + tokens + ",\"input\":\"" + text
                + "\"" + more + "}";
    }

    private static HttpResponse<String> get(SystemUnderTest system, String path, String... headers) throws Exception {
        return call("GET", system, path, headers);
    }

    private static HttpResponse<String> call(String method, SystemUnderTest system, String path, String... headers)
            throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(system.url() + path))
                .timeout(Duration.ofSeconds(60))
                .method(method, HttpRequest.BodyPublishers.noBody());
        if (headers.length > 0) {
            request.headers(headers);
        }
        return HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    /** Events of a stream, each with its lines. */
    private static List<String> events(String body) {
        return body.lines().toList().isEmpty()
                ? List.of()
                : List.of(body.split("(?<=\n\n)")).stream()
                        .filter(event -> !event.startsWith(":"))
                        .toList();
    }

    private static String line(String event, String name) {
        return event.lines()
                .filter(line -> line.startsWith(name + ": "))
                .findFirst()
                .orElseThrow()
                .substring(name.length() + 2);
    }

    /** Reads so many events, then cuts the connection. */
    private static List<String> readSome(SystemUnderTest system, String path, String body, int count) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(system.url() + path))
                .header("Content-Type", "application/json")
                .headers(IDS)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        List<String> events = new ArrayList<>();
        HttpResponse<InputStream> response = HTTP.send(request, HttpResponse.BodyHandlers.ofInputStream());
        try (var reader = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            var event = new StringBuilder();
            while (events.size() < count) {
                String line = reader.readLine();
                event.append(line).append('\n');
                if (line.isEmpty()) {
                    events.add(event.toString());
                    event.setLength(0);
                }
            }
        }
        return events;
    }

    @Test
    void aChatStreamGoesOnAtAnotherGatewayByteForByte() throws Exception {
        List<String> begun = readSome(one, CHAT, chat("go on elsewhere", 80), 20);
        String id = JSON.readTree(line(begun.getFirst(), "data")).get("id").asString();
        HttpResponse<String> rest = get(other, CHAT + "/" + id, "Last-Event-ID", line(begun.getLast(), "id"));
        assertThat(rest.statusCode()).as(rest.body()).isEqualTo(200);
        HttpResponse<String> whole = get(one, CHAT + "/" + id + "?stream=true", IDS);
        assertThat(String.join("", begun) + rest.body()).isEqualTo(whole.body());
        assertThat(rest.body()).endsWith("data: [DONE]\n\n").contains("\"completion_tokens\":160");
        List<String> all = events(whole.body());
        for (int i = 0; i < all.size(); i += 37) {
            HttpResponse<String> after =
                    get(i % 2 == 0 ? one : other, CHAT + "/" + id, "Last-Event-ID", line(all.get(i), "id"));
            assertThat(after.body()).isEqualTo(String.join("", all.subList(i + 1, all.size())));
        }
    }

    @Test
    void eventIdsComeOnlyToThoseWhoAsk() throws Exception {
        HttpResponse<String> plain = one.post(CHAT, chat("plain", 5));
        HttpResponse<String> asked = one.post(CHAT, chat("plain", 5), IDS);
        assertThat(plain.body()).doesNotContain("id: ");
        assertThat(events(asked.body())).allMatch(event -> event.startsWith("id: "));
    }

    @Test
    void nonsenseIsToldFromAPlace() throws Exception {
        String whole = one.post(CHAT, chat("nonsense", 5), IDS).body();
        List<String> events = events(whole);
        String id = JSON.readTree(line(events.getFirst(), "data")).get("id").asString();
        String place = line(events.getFirst(), "id");
        for (String wrong : List.of("x", "1-2-3-4-00000000", place + "0", "9" + place, place.replace('-', '.'))) {
            HttpResponse<String> answer = get(one, CHAT + "/" + id, "Last-Event-ID", wrong);
            assertThat(answer.statusCode()).as(wrong).isEqualTo(400);
            assertThat(answer.body()).contains("MR-GW-020");
        }
        String elsewhere = id.substring(0, id.length() - 1) + (id.endsWith("0") ? "1" : "0");
        assertThat(get(one, CHAT + "/" + elsewhere, "Last-Event-ID", place).statusCode())
                .isEqualTo(400);
        assertThat(get(one, CHAT + "/" + id).statusCode()).isEqualTo(400);
    }

    @Test
    void unknownIdsAre404AndMalformedOnes400() throws Exception {
        String digits = "0001" + "ab".repeat(16);
        for (String path :
                List.of("/resp_" + digits, "/resp_ffff" + digits.substring(4), "/resp_" + digits + "/input_items")) {
            assertThat(get(one, RESPONSES + path).statusCode()).as(path).isEqualTo(404);
        }
        assertThat(call("DELETE", one, RESPONSES + "/resp_" + digits).statusCode())
                .isEqualTo(404);
        assertThat(call("POST", one, RESPONSES + "/resp_" + digits + "/cancel").statusCode())
                .isEqualTo(404);
        for (String path : List.of("/resp_12", "/" + digits, "/chatcmpl-" + digits, "/resp_" + digits.toUpperCase())) {
            HttpResponse<String> answer = get(one, RESPONSES + path);
            assertThat(answer.statusCode()).as(path).isEqualTo(400);
            assertThat(answer.body()).contains("invalid_id");
        }
    }

    @Test
    void aResponseStreamGoesOnAfterAnyNumberWhileItRunsAndAfterwards() throws Exception {
        List<String> begun = readSome(one, RESPONSES, response("numbered", 120, ",\"stream\":true"), 12);
        String id = JSON.readTree(line(begun.getFirst(), "data"))
                .get("response")
                .get("id")
                .asString();
        String rest = get(other, RESPONSES + "/" + id + "?stream=true&starting_after=11", IDS)
                .body();
        String whole = get(one, RESPONSES + "/" + id + "?stream=true", IDS).body();
        assertThat(String.join("", begun) + rest).isEqualTo(whole);
        List<String> all = events(whole);
        for (int i = 0; i < all.size(); i++) {
            assertThat(JSON.readTree(line(all.get(i), "data"))
                            .get("sequence_number")
                            .asInt())
                    .isEqualTo(i);
        }
        assertThat(all.getLast()).startsWith("event: response.incomplete");
        assertThat(get(other, RESPONSES + "/" + id + "?stream=true&starting_after=" + (all.size() - 1))
                        .body())
                .isEmpty();
        HttpResponse<String> wrong = get(one, RESPONSES + "/" + id + "?stream=true&starting_after=x");
        assertThat(wrong.statusCode()).isEqualTo(400);
    }

    @Test
    void theOfficialClientRetrievesCancelsAndDeletesInTheBackground() throws Exception {
        OpenAIClient client = one.client();
        OpenAIClient elsewhere = other.client();
        Response begun = client.responses()
                .create(ResponseCreateParams.builder()
                        .model("alpha")
                        .instructions("be brief")
                        .input("in the background")
                        .background(true)
                        .maxOutputTokens(40)
                        .build());
        assertThat(begun.status().orElseThrow()).isEqualTo(ResponseStatus.QUEUED);
        List<ResponseStreamEvent> events;
        try (StreamResponse<ResponseStreamEvent> stream = elsewhere
                .responses()
                .retrieveStreaming(ResponseRetrieveParams.builder()
                        .responseId(begun.id())
                        .startingAfter(1)
                        .build())) {
            events = stream.stream().toList();
        }
        assertThat(events.getFirst().isOutputItemAdded()).isTrue();
        Response ended = elsewhere.responses().retrieve(begun.id());
        assertThat(ended.status().orElseThrow()).isIn(ResponseStatus.COMPLETED, ResponseStatus.INCOMPLETE);
        String text = ended.output()
                .getFirst()
                .asMessage()
                .content()
                .getFirst()
                .asOutputText()
                .text();
        assertThat(text).isNotBlank();
        assertThat(client.responses().inputItems().list(begun.id()).data())
                .singleElement()
                .satisfies(item -> assertThat(item.toString()).contains("in the background"));
        client.responses().delete(begun.id());
        for (SystemUnderTest each : List.of(one, other)) {
            assertThat(get(each, RESPONSES + "/" + begun.id()).statusCode()).isEqualTo(404);
            assertThat(get(each, RESPONSES + "/" + begun.id() + "?stream=true").statusCode())
                    .isEqualTo(404);
        }

        Response endless = client.responses()
                .create(ResponseCreateParams.builder()
                        .model("alpha")
                        .input("without end")
                        .background(true)
                        .maxOutputTokens(1500)
                        .putAdditionalBodyProperty("ignore_eos", JsonValue.from(true))
                        .build());
        Response cancelled = elsewhere.responses().cancel(endless.id());
        assertThat(cancelled.status().orElseThrow()).isEqualTo(ResponseStatus.CANCELLED);
        assertThat(client.responses().retrieve(endless.id()).status().orElseThrow())
                .isEqualTo(ResponseStatus.CANCELLED);
        client.close();
        elsewhere.close();
    }

    @Test
    void aBackgroundStreamOutlivesItsClientAndAnotherIsCancelledWithIt() throws Exception {
        List<String> kept = readSome(one, RESPONSES, response("kept", 120, ",\"stream\":true,\"background\":true"), 8);
        List<String> lost = readSome(one, RESPONSES, response("lost", 1500, ",\"stream\":true"), 8);
        String id = JSON.readTree(line(kept.getFirst(), "data"))
                .get("response")
                .get("id")
                .asString();
        String gone = JSON.readTree(line(lost.getFirst(), "data"))
                .get("response")
                .get("id")
                .asString();
        String all = get(other, RESPONSES + "/" + id + "?stream=true").body();
        assertThat(all).contains("response.incomplete").contains("\"output_tokens\":120");
        Processes.await("the end of what nobody reads", () -> status(gone).equals("cancelled"));
    }

    private static String status(String id) {
        try {
            return JSON.readTree(get(other, RESPONSES + "/" + id).body())
                    .get("status")
                    .asString();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void whoeverComesBackInTimeKeepsTheRequestAlive() throws Exception {
        List<String> begun = readSome(one, CHAT, chat("kept alive", 220), 10);
        String id = JSON.readTree(line(begun.getFirst(), "data")).get("id").asString();
        // Two seconds of generation, a grace of one: without ATTACH it would be cancelled.
        String rest = get(other, CHAT + "/" + id, "Last-Event-ID", line(begun.getLast(), "id"))
                .body();
        assertThat(rest)
                .endsWith("data: [DONE]\n\n")
                .contains("\"completion_tokens\":440")
                .doesNotContain("error");
    }

    @Test
    void anIdempotencyKeyIsOneRequestAtBothGateways() throws Exception {
        String key = UUID.randomUUID().toString();
        String body = chat("only once", 60);
        CompletableFuture<HttpResponse<String>> first = CompletableFuture.supplyAsync(() -> post(one, body, key));
        CompletableFuture<HttpResponse<String>> second = CompletableFuture.supplyAsync(() -> post(other, body, key));
        assertThat(first.get().statusCode()).isEqualTo(200);
        assertThat(second.get().body()).isEqualTo(first.get().body());
        HttpResponse<String> later = post(other, body.replace(",\"n\":2", ", \"n\" : 2"), key);
        assertThat(later.body()).isEqualTo(first.get().body());
        HttpResponse<String> changed = post(one, chat("only twice", 60), key);
        assertThat(changed.statusCode()).as(changed.body()).isEqualTo(422);
        assertThat(changed.body()).contains("MR-GW-024");
        assertThat(post(one, body, "two words").statusCode()).isEqualTo(400);
    }

    private static HttpResponse<String> post(SystemUnderTest system, String body, String key) {
        try {
            return system.post(CHAT, body, "Idempotency-Key", key);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void aKeyedBatchOfPromptsAnswersAlikeAndOnceMoreInOnePiece() throws Exception {
        String key = UUID.randomUUID().toString();
        String body = "{\"model\":\"alpha\",\"prompt\":[\"a\",\"b\",\"c\"],\"max_tokens\":12,\"ignore_eos\":true}";
        HttpResponse<String> first = one.post("/v1/completions", body, "Idempotency-Key", key);
        HttpResponse<String> second = other.post("/v1/completions", body, "Idempotency-Key", key);
        assertThat(first.statusCode()).as(first.body()).isEqualTo(200);
        assertThat(second.body()).isEqualTo(first.body());
        String fewer = body.replace(",\"c\"", "");
        assertThat(other.post("/v1/completions", fewer, "Idempotency-Key", key).statusCode())
                .isEqualTo(422);
        String streamed = body.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
        String whole = one.post("/v1/completions", streamed, IDS).body();
        List<String> events = events(whole);
        String id = JSON.readTree(line(events.getFirst(), "data")).get("id").asString();
        assertThat(get(other, "/v1/completions/" + id, "Last-Event-ID", line(events.get(7), "id"))
                        .body())
                .isEqualTo(String.join("", events.subList(8, events.size())));
    }

    @Test
    @Tag("long")
    void aLongStreamIsReadAgainThroughABufferThatHoldsAFractionOfIt() throws Exception {
        String whole = one.post(CHAT, chat("long", 500), IDS).body();
        assertThat(whole.length()).isGreaterThan(2 * 64 * 1024);
        String id =
                JSON.readTree(line(events(whole).getFirst(), "data")).get("id").asString();
        try (SystemUnderTest narrow = one.another(Role.GATEWAY, Map.of("millrace.gateway.lag-max", "64KB"), "alpha")) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(narrow.url() + CHAT + "/" + id + "?stream=true"))
                    .headers(IDS)
                    .build();
            HttpResponse<InputStream> slow = HTTP.send(request, HttpResponse.BodyHandlers.ofInputStream());
            var read = new StringBuilder();
            try (var in = slow.body()) {
                byte[] piece = new byte[8 * 1024];
                for (int n = in.read(piece); n >= 0; n = in.read(piece)) {
                    read.append(new String(piece, 0, n, StandardCharsets.ISO_8859_1));
                    Thread.sleep(1);
                }
            }
            assertThat(read.toString())
                    .isEqualTo(new String(whole.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1));
        }
    }

    @Test
    void whatIsNotStoredIsNotRetrievedButStreamedAgain() throws Exception {
        JsonNode answer = JSON.readTree(one.post(RESPONSES, response("not stored", 5, ",\"store\":false"))
                .body());
        String id = answer.get("id").asString();
        assertThat(get(other, RESPONSES + "/" + id).statusCode()).isEqualTo(404);
        assertThat(get(other, RESPONSES + "/" + id + "/input_items").statusCode())
                .isEqualTo(404);
        assertThat(get(other, RESPONSES + "/" + id + "?stream=true").statusCode())
                .isEqualTo(200);
        assertThat(one.post(RESPONSES, response("x", 5, ",\"store\":false,\"background\":true"))
                        .statusCode())
                .isEqualTo(400);
    }

    @Test
    void aRetrievedResponseIsTheOneThatWasAnswered() throws Exception {
        String answered = one.post(RESPONSES, response("as answered", 12, "")).body();
        String id = JSON.readTree(answered).get("id").asString();
        assertThat(get(other, RESPONSES + "/" + id).body()).isEqualTo(answered);
    }

    @Test
    void anotherTenantsAnswerIsNotThere() throws Exception {
        try (SystemUnderTest keyed = one.another(
                Role.GATEWAY,
                Map.of("millrace.gateway.api-keys.sesame", "alice", "millrace.gateway.api-keys.open", "bob"))) {
            String[] alice = {"Authorization", "Bearer sesame"};
            String[] bob = {"Authorization", "Bearer open"};
            Processes.await("the gateway", () -> served(keyed, alice));
            String id = JSON.readTree(keyed.post(RESPONSES, response("mine", 5, ""), alice)
                            .body())
                    .get("id")
                    .asString();
            assertThat(get(keyed, RESPONSES + "/" + id, alice).statusCode()).isEqualTo(200);
            assertThat(get(keyed, RESPONSES + "/" + id).statusCode()).isEqualTo(401);
            for (String path : List.of("", "?stream=true", "/input_items")) {
                assertThat(get(keyed, RESPONSES + "/" + id + path, bob).statusCode())
                        .isEqualTo(404);
                assertThat(get(other, RESPONSES + "/" + id + path).statusCode()).isEqualTo(404);
            }
            assertThat(call("DELETE", keyed, RESPONSES + "/" + id, bob).statusCode())
                    .isEqualTo(404);
            assertThat(call("POST", keyed, RESPONSES + "/" + id + "/cancel", bob)
                            .statusCode())
                    .isEqualTo(404);
            String events = one.post(CHAT, chat("the default tenant's", 5), IDS).body();
            String chat = JSON.readTree(line(events(events).getFirst(), "data"))
                    .get("id")
                    .asString();
            HttpResponse<String> stolen = get(
                    keyed,
                    CHAT + "/" + chat,
                    "Last-Event-ID",
                    line(events(events).getFirst(), "id"),
                    "Authorization",
                    "Bearer open");
            assertThat(stolen.statusCode()).isEqualTo(404);
            assertThat(get(keyed, RESPONSES + "/" + id, alice).statusCode()).isEqualTo(200);
        }
    }

    private static boolean served(SystemUnderTest system, String... headers) {
        try {
            return get(system, "/v1/models", headers).body().contains("alpha");
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void onceItsJournalIsGoneAResponseComesFromTheResults() throws Exception {
        String answered =
                one.post(RESPONSES, response("outlives its journal", 12, "")).body();
        String id = JSON.readTree(answered).get("id").asString();
        assertThat(get(other, RESPONSES + "/" + id).body()).isEqualTo(answered);
        Processes.await("the result", () -> results() > 0);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", one.bootstrap()))) {
            Map<TopicPartition, RecordsToDelete> all = new HashMap<>();
            for (int partition = 0; partition < 4; partition++) {
                all.put(new TopicPartition("millrace.responses", partition), RecordsToDelete.beforeOffset(-1));
            }
            admin.deleteRecords(all).all().get();
        }
        assertThat(get(other, RESPONSES + "/" + id).body()).isEqualTo(answered);
        HttpResponse<String> events = get(one, RESPONSES + "/" + id + "?stream=true");
        assertThat(events.statusCode()).isEqualTo(410);
        assertThat(events.body()).contains("MR-GW-023");
    }

    private static long results() {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", one.bootstrap()))) {
            Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
            for (int partition = 0; partition < 4; partition++) {
                ends.put(new TopicPartition("millrace.results", partition), OffsetSpec.latest());
            }
            return admin.listOffsets(ends).all().get().values().stream()
                    .mapToLong(each -> each.offset())
                    .sum();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void inputItemsComeInPages() throws Exception {
        String input = ",\"instructions\":\"not an item\"}";
        String body = "{\"model\":\"alpha\",\"max_output_tokens\":2,\"input\":["
                + "{\"role\":\"user\",\"content\":\"first\"},{\"role\":\"assistant\",\"content\":\"second\"},"
                + "{\"role\":\"user\",\"content\":\"third\"}]" + input;
        String id = JSON.readTree(one.post(RESPONSES, body).body()).get("id").asString();
        String path = RESPONSES + "/" + id + "/input_items";
        JsonNode newest = JSON.readTree(get(other, path + "?limit=2").body());
        assertThat(newest.get("data").get(0).get("content").get(0).get("text").asString())
                .isEqualTo("third");
        assertThat(newest.get("has_more").asBoolean()).isTrue();
        JsonNode next = JSON.readTree(
                get(one, path + "?after=" + newest.get("last_id").asString()).body());
        assertThat(next.get("data").size()).isEqualTo(1);
        assertThat(next.get("data").get(0).get("content").get(0).get("text").asString())
                .isEqualTo("first");
        assertThat(JSON.readTree(get(one, path + "?order=asc").body())
                        .get("data")
                        .get(1)
                        .get("role")
                        .asString())
                .isEqualTo("assistant");
        for (String wrong : List.of("?limit=0", "?limit=x", "?order=up", "?after=nothing")) {
            assertThat(get(one, path + wrong).statusCode()).as(wrong).isEqualTo(400);
        }
    }
}
