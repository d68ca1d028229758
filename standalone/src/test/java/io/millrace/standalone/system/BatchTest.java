package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.core.MultipartField;
import com.openai.core.http.HttpResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.errors.OpenAIServiceException;
import com.openai.models.batches.Batch;
import com.openai.models.batches.BatchCreateParams;
import com.openai.models.batches.BatchError;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileObject;
import com.openai.models.files.FilePurpose;
import io.millrace.standalone.parts.Role;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Files and batches, by the official client, at two gateways. */
@Timeout(120)
class BatchTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String CHAT = "/v1/chat/completions";

    @TempDir
    static Path dir;

    private static SystemUnderTest one;
    private static SystemUnderTest other;
    private static OpenAIClient client;
    private static OpenAIClient his;

    @BeforeAll
    static void start() throws Exception {
        one = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]", "mock:alpha",
                        "millrace.worker.mock-step", "2ms",
                        "millrace.gateway.file-max", "1MB",
                        "millrace.gateway.batch-lines-max", "500"),
                "alpha");
        client = one.client();
        other = one.another(Role.GATEWAY, Map.of("millrace.gateway.api-keys.none", "bob"));
        his = other.client();
        Processes.await("the second gateway", () -> his.models().list().data().size() == 1);
    }

    @AfterAll
    static void stop() {
        if (other != null) {
            his.close();
            other.close();
        }
        if (one != null) {
            client.close();
            one.close();
        }
    }

    static String line(String id, String url, String body) {
        return "{\"custom_id\":\"" + id + "\",\"method\":\"POST\",\"url\":\"" + url + "\",\"body\":" + body + "}\n";
    }

    static String chat(String text, int tokens) {
        return "{\"model\":\"alpha\",\"ignore_eos\":true,\"seed\":3,\"max_tokens\":" + tokens
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";
    }

    private static String file(OpenAIClient by, String content) {
        return by.files()
                .create(FileCreateParams.builder()
                        .purpose(FilePurpose.BATCH)
                        .file(MultipartField.<InputStream>builder()
                                .value(new ByteArrayInputStream(content.getBytes(StandardCharsets.UTF_8)))
                                .filename("in.jsonl")
                                .contentType("application/jsonl")
                                .build())
                        .build())
                .id();
    }

    /** A batch of these lines, at its end. */
    static Batch run(OpenAIClient by, String input, String endpoint) throws InterruptedException {
        return ended(by, create(by, file(by, input), endpoint, "24h"));
    }

    private static Batch create(String file, String endpoint, String window) {
        return create(client, file, endpoint, window);
    }

    private static Batch create(OpenAIClient by, String file, String endpoint, String window) {
        return by.batches()
                .create(BatchCreateParams.builder()
                        .inputFileId(file)
                        .endpoint(BatchCreateParams.Endpoint.of(endpoint))
                        .completionWindow(BatchCreateParams.CompletionWindow.of(window))
                        .build());
    }

    private static Batch ended(Batch batch) throws InterruptedException {
        return ended(client, batch);
    }

    private static Batch ended(OpenAIClient by, Batch batch) throws InterruptedException {
        Processes.await(
                "the end of " + batch.id(),
                () -> List.of("completed", "failed", "expired", "cancelled")
                        .contains(by.batches().retrieve(batch.id()).status().asString()));
        return by.batches().retrieve(batch.id());
    }

    static String content(OpenAIClient by, String file) throws Exception {
        try (HttpResponse response = by.files().content(file)) {
            return new String(response.body().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /** Lines by their custom id; each only once. */
    static Map<String, JsonNode> lines(String content) {
        Map<String, JsonNode> lines = new HashMap<>();
        content.lines()
                .map(JSON::readTree)
                .forEach(line -> assertThat(lines.put(line.get("custom_id").asString(), line))
                        .as("line twice")
                        .isNull());
        return lines;
    }

    @Test
    void everyLineIsAnsweredOnceAsAlone() throws Exception {
        String input = IntStream.range(0, 300)
                .mapToObj(i -> line("id-" + i, CHAT, chat("question " + i, 4)))
                .collect(Collectors.joining());
        Batch batch = ended(create(file(client, input), CHAT, "24h"));
        assertThat(batch.status()).isEqualTo(Batch.Status.COMPLETED);
        assertThat(batch.requestCounts().orElseThrow().completed()).isEqualTo(300);
        assertThat(batch.requestCounts().orElseThrow().total()).isEqualTo(300);
        assertThat(batch.errorFileId()).isEmpty();
        String output = batch.outputFileId().orElseThrow();
        FileObject file = client.files().retrieve(output);
        String content = content(client, output);
        assertThat(file.bytes()).isEqualTo(content.getBytes(StandardCharsets.UTF_8).length);
        assertThat(file.purpose().asString()).isEqualTo("batch_output");
        Map<String, JsonNode> lines = lines(content);
        assertThat(lines).hasSize(300);
        JsonNode alone = JSON.readTree(one.post(CHAT, chat("question 17", 4)).body());
        JsonNode answer = lines.get("id-17").get("response");
        assertThat(answer.get("status_code").asInt()).isEqualTo(200);
        assertThat(answer.get("body").get("choices")).isEqualTo(alone.get("choices"));
        assertThatThrownBy(() -> his.files().retrieve(output)).isInstanceOf(NotFoundException.class);
        assertThatThrownBy(() -> his.batches().retrieve(batch.id())).isInstanceOf(NotFoundException.class);
        assertThat(his.batches().list().data()).isEmpty();
        assertThat(client.batches().list().data()).anyMatch(each -> each.id().equals(batch.id()));
    }

    @Test
    void aLineThatCannotBeServedIsAnErrorOfItsOwnAndOtherEndpointsWork() throws Exception {
        String input = line("good", "/v1/responses", "{\"model\":\"alpha\",\"input\":\"Hi\",\"max_output_tokens\":4}")
                + "\n"
                + line("bad", "/v1/responses", "{\"model\":\"alpha\",\"input\":\"Hi\",\"temperature\":9}")
                + line("stream", "/v1/responses", "{\"model\":\"alpha\",\"input\":\"Hi\",\"stream\":true}")
                        .strip();
        Batch batch = ended(create(file(client, input), "/v1/responses", "24h"));
        assertThat(batch.status()).isEqualTo(Batch.Status.COMPLETED);
        assertThat(batch.requestCounts().orElseThrow().failed()).isEqualTo(2);
        Map<String, JsonNode> good = lines(content(client, batch.outputFileId().orElseThrow()));
        assertThat(good.get("good").get("response").get("body").get("object").asString())
                .isEqualTo("response");
        Map<String, JsonNode> bad = lines(content(client, batch.errorFileId().orElseThrow()));
        assertThat(bad).containsOnlyKeys("bad", "stream");
        assertThat(bad.get("bad").get("response").get("status_code").asInt()).isEqualTo(400);
        assertThat(bad.get("bad")
                        .get("response")
                        .get("body")
                        .get("error")
                        .get("param")
                        .asString())
                .isEqualTo("temperature");
    }

    @Test
    void objectsAreWhatTheDocumentOfTheApiSays() throws Exception {
        var schemas = new AnswerSchemas(one);
        Batch batch = run(client, line("a", CHAT, chat("x", 1)), CHAT);
        Batch failed = run(client, "{not json}\n", CHAT);
        for (String id : List.of(batch.id(), failed.id())) {
            schemas.check(
                    "get", "/v1/batches/{id}", one.get("/v1/batches/" + id).body());
        }
        schemas.check("get", "/v1/batches", one.get("/v1/batches").body());
        schemas.check("get", "/v1/files", one.get("/v1/files").body());
        String file = batch.outputFileId().orElseThrow();
        schemas.check("get", "/v1/files/{id}", one.get("/v1/files/" + file).body());
        assertThat(schemas.unseen("Batch", "File", "BatchList", "FileList")).isEmpty();
    }

    @Test
    void completionsAreAnsweredAsAlone() throws Exception {
        String url = "/v1/completions";
        String body = "{\"model\":\"alpha\",\"prompt\":[\"one\",\"two\"],\"seed\":7,\"n\":2,\"max_tokens\":5}";
        Batch batch = run(
                client,
                line("a", url, body) + line("bad", url, "{\"model\":\"alpha\",\"prompt\":[],\"max_tokens\":5}"),
                url);
        JsonNode good = lines(content(client, batch.outputFileId().orElseThrow()))
                .get("a")
                .at("/response/body");
        assertThat(good.get("object").asString()).isEqualTo("text_completion");
        assertThat(good.get("choices"))
                .hasSize(4)
                .isEqualTo(JSON.readTree(one.post(url, body).body()).get("choices"));
        assertThat(lines(content(client, batch.errorFileId().orElseThrow()))
                        .get("bad")
                        .at("/response/body/error/param")
                        .asString())
                .isEqualTo("prompt");
    }

    @Test
    void aBatchOfBadLinesFailsWithTheirNumbers() throws Exception {
        String input = line("a", CHAT, chat("x", 1))
                + "{not json}\n"
                + line("a", CHAT, chat("x", 1))
                + line("b", "/v1/completions", chat("x", 1))
                + line("c", CHAT, chat("x", 1).replace("alpha", "beta"))
                + line("d", CHAT, "{}")
                + line("e", CHAT, chat("x", 1)).replace("POST", "GET")
                + "{\"method\":\"POST\"}\n";
        Batch batch = ended(create(file(client, input), CHAT, "24h"));
        assertThat(batch.status()).isEqualTo(Batch.Status.FAILED);
        List<BatchError> errors = batch.errors().orElseThrow().data().orElseThrow();
        assertThat(errors.stream()
                        .map(each ->
                                each.line().orElseThrow() + " " + each.code().orElseThrow()))
                .containsExactly(
                        "2 invalid_json_line",
                        "3 duplicate_custom_id",
                        "4 invalid_url",
                        "5 mismatched_model",
                        "6 missing_required_parameter",
                        "7 invalid_method",
                        "8 missing_required_parameter");
        String many = IntStream.range(0, 501)
                .mapToObj(i -> line("id-" + i, CHAT, chat("x", 1)))
                .collect(Collectors.joining());
        Batch tooMany = ended(create(file(client, many), CHAT, "24h"));
        assertThat(tooMany.errors()
                        .orElseThrow()
                        .data()
                        .orElseThrow()
                        .getFirst()
                        .code())
                .contains("too_many_tasks");
        Batch blank = ended(create(file(client, "\n\n"), CHAT, "24h"));
        assertThat(blank.errors().orElseThrow().data().orElseThrow().getFirst().code())
                .contains("empty_file");
    }

    @Test
    void aCancelledAndAnExpiredBatchKeepWhatWasDone() throws Exception {
        String input = IntStream.range(0, 400)
                .mapToObj(i -> line("id-" + i, CHAT, chat("long " + i, 150)))
                .collect(Collectors.joining());
        String file = file(client, input);
        Batch cancelled = create(file, CHAT, "24h");
        Processes.await(
                "its first answers",
                () -> client.batches()
                                .retrieve(cancelled.id())
                                .requestCounts()
                                .orElseThrow()
                                .completed()
                        > 0);
        assertThatThrownBy(() -> client.files().delete(file))
                .isInstanceOfSatisfying(
                        OpenAIServiceException.class,
                        failure -> assertThat(failure.statusCode()).isEqualTo(409));
        assertThat(client.batches().cancel(cancelled.id()).status().asString()).isIn("cancelling", "cancelled");
        Batch batch = ended(cancelled);
        assertThat(batch.status()).isEqualTo(Batch.Status.CANCELLED);
        long done = batch.requestCounts().orElseThrow().completed();
        assertThat(done).isBetween(1L, 399L);
        assertThat(lines(content(client, batch.outputFileId().orElseThrow()))).hasSize((int) done);

        Batch expired = ended(create(file, CHAT, "2s"));
        assertThat(expired.status()).isEqualTo(Batch.Status.EXPIRED);
        Map<String, JsonNode> errors =
                lines(content(client, expired.errorFileId().orElseThrow()));
        assertThat(errors).hasSizeBetween(1, 400);
        assertThat(errors.values())
                .allMatch(line -> line.get("error").get("code").asString().equals("batch_expired"));
        long answered = expired.requestCounts().orElseThrow().completed();
        assertThat(errors.size() + answered).isEqualTo(400);
        client.files().delete(file);
        assertThatThrownBy(() -> client.files().retrieve(file)).isInstanceOf(NotFoundException.class);
    }

    @Test
    void anUploadThatIsNoMultipartFormIsRefused() throws Exception {
        String begin = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"";
        for (String body : List.of(
                "garbage", begin + "x\"\r\n\r\n{}\r\n", begin + "n".repeat(20_000) + "\"\r\n\r\n{}\r\n--b--\r\n")) {
            var answer = one.post("/v1/files", body, "Content-Type", "multipart/form-data; boundary=b");
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(400);
            assertThat(JSON.readTree(answer.body()).at("/error/code").asString())
                    .isEqualTo("invalid_multipart");
        }
    }

    @Test
    void filesAreListedReadAndRefused() throws Exception {
        String text = "{\"a\":\"ü\"}\n".repeat(90_000);
        String id = file(client, text);
        assertThat(content(client, id)).isEqualTo(text);
        assertThat(client.files().list().autoPager().stream())
                .anyMatch(file -> file.id().equals(id));
        assertThat(his.files().list().data()).isEmpty();
        assertThatThrownBy(() -> file(client, text + text))
                .isInstanceOfSatisfying(
                        OpenAIServiceException.class,
                        failure -> assertThat(failure.statusCode()).isEqualTo(413));
        assertThatThrownBy(() -> file(client, "")).isInstanceOf(BadRequestException.class);
        assertThatThrownBy(() -> create("file-none", CHAT, "24h")).isInstanceOf(BadRequestException.class);
        assertThatThrownBy(() -> create(id, "/v1/images", "24h")).isInstanceOf(BadRequestException.class);
        assertThatThrownBy(() -> create(id, CHAT, "soon")).isInstanceOf(BadRequestException.class);
        assertThat(one.post("/v1/files", "{}").statusCode()).isEqualTo(415);
        client.files().delete(id);
        assertThatThrownBy(() -> content(client, id)).isInstanceOf(NotFoundException.class);
    }
}
