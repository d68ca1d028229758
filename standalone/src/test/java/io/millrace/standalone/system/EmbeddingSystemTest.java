package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.openai.client.OpenAIClient;
import com.openai.errors.BadRequestException;
import com.openai.models.batches.Batch;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.embeddings.CreateEmbeddingResponse;
import com.openai.models.embeddings.EmbeddingCreateParams;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Embeddings and scores of tiny encoders, from the client to the encoder and back. */
class EmbeddingSystemTest {

    private static final Path MODELS = Path.of("../worker/src/test/resources/golden/encoders");
    private static final int WIDTH = 48;

    @TempDir
    static Path dir;

    private static SystemUnderTest system;

    private static OpenAIClient client;

    private static List<String> texts;

    private static float[] expected;

    @BeforeAll
    static void start() throws Exception {
        system = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]", "bert=" + MODELS.resolve("bert-tiny"),
                        "millrace.worker.models[1]", "cross=" + MODELS.resolve("bert-cross-tiny"),
                        "millrace.worker.models[2]", "mock:writer"),
                "bert",
                "cross",
                "writer");
        client = system.client();
        texts = JsonMapper.shared()
                .readTree(Files.readAllBytes(MODELS.resolve("bert-tiny/golden.json")))
                .get("texts")
                .valueStream()
                .map(JsonNode::asString)
                .toList();
        ByteBuffer raw = ByteBuffer.wrap(Files.readAllBytes(MODELS.resolve("bert-tiny/mean.f32")));
        expected = new float[raw.capacity() / 4];
        raw.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(expected);
    }

    @AfterAll
    static void stop() {
        if (system != null) {
            client.close();
            system.close();
        }
    }

    private static EmbeddingCreateParams params(List<String> inputs) {
        return EmbeddingCreateParams.builder()
                .model("bert")
                .inputOfArrayOfStrings(inputs)
                .build();
    }

    @Test
    void theOfficialClientGetsTheReferencesEmbeddings() {
        CreateEmbeddingResponse answer = client.embeddings().create(params(texts));
        answer.validate();
        assertThat(answer.data()).hasSize(texts.size());
        for (int i = 0; i < texts.size(); i++) {
            List<Float> row = answer.data().get(i).embedding();
            assertThat(row).hasSize(WIDTH);
            for (int j = 0; j < WIDTH; j++) {
                assertThat(row.get(j)).isCloseTo(expected[i * WIDTH + j], within(2e-6f));
            }
        }
        assertThat(answer.usage().promptTokens()).isEqualTo(3 + 10 + 9 + 40 + 25 + 132 + 122);
    }

    @Test
    void answersAreWhatTheDocumentOfTheApiSays() throws Exception {
        var schemas = new AnswerSchemas(system);
        for (String format : List.of("float", "base64")) {
            String body = "{\"model\":\"bert\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"" + format + "\"}";
            schemas.check(
                    "post",
                    "/v1/embeddings",
                    system.post("/v1/embeddings", body).body());
        }
        String ranked = "{\"model\":\"cross\",\"query\":\"a\",\"documents\":[\"b\",\"c\"],\"return_documents\":true}";
        schemas.check("post", "/v1/rerank", system.post("/v1/rerank", ranked).body());
        String scored = "{\"model\":\"cross\",\"text_1\":\"a\",\"text_2\":[\"b\",\"c\"]}";
        schemas.check("post", "/v1/score", system.post("/v1/score", scored).body());
        assertThat(schemas.unseen("Embeddings", "Ranking", "Scores")).isEmpty();
    }

    @Test
    void aBatchOfEmbeddingsHasTheSameNumbers() throws Exception {
        String body = "{\"model\":\"bert\",\"input\":" + JsonMapper.shared().writeValueAsString(texts) + "}";
        String url = "/v1/embeddings";
        Batch batch = BatchTest.run(
                client,
                BatchTest.line("a", url, body)
                        + BatchTest.line("bad", url, "{\"model\":\"bert\",\"input\":\"x\",\"dimensions\":99999}"),
                url);
        assertThat(batch.requestCounts().orElseThrow().completed()).isEqualTo(1);
        JsonNode line = BatchTest.lines(
                        BatchTest.content(client, batch.outputFileId().orElseThrow()))
                .get("a");
        assertThat(line.at("/response/body/data"))
                .isEqualTo(JsonMapper.shared()
                        .readTree(system.post(url, body).body())
                        .get("data"));
        JsonNode bad = BatchTest.lines(
                        BatchTest.content(client, batch.errorFileId().orElseThrow()))
                .get("bad");
        assertThat(bad.at("/response/body/error/param").asString()).isEqualTo("dimensions");
    }

    @Test
    void numbersAreTheSameBitsAsBase64AndTogetherAsAlone() throws Exception {
        List<Float> whole =
                client.embeddings().create(params(texts)).data().get(1).embedding();
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<List<Float>>> all = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                List<String> own = i % 2 == 0 ? List.of(texts.get(1)) : List.of(texts.get(1), texts.get(i % 7));
                all.add(threads.submit(() -> client.embeddings()
                        .create(params(own))
                        .data()
                        .getFirst()
                        .embedding()));
            }
            for (Future<List<Float>> each : all) {
                assertThat(each.get()).isEqualTo(whole);
            }
        }
        JsonNode numbers = ok(
                "/v1/embeddings",
                "{\"model\":\"bert\",\"encoding_format\":\"float\",\"input\":"
                        + JsonMapper.shared().writeValueAsString(texts.get(1)) + "}");
        JsonNode row = numbers.get("data").get(0).get("embedding");
        for (int i = 0; i < WIDTH; i++) {
            assertThat(row.get(i).floatValue()).isEqualTo(whole.get(i));
        }
    }

    @Test
    void fewerDimensionsAreOfLengthOneAgain() {
        List<Float> row = client.embeddings()
                .create(EmbeddingCreateParams.builder()
                        .model("bert")
                        .input("the river")
                        .dimensions(16)
                        .build())
                .data()
                .getFirst()
                .embedding();
        assertThat(row).hasSize(16);
        assertThat(row.stream().mapToDouble(v -> v * (double) v).sum()).isCloseTo(1, within(1e-5));
    }

    private static JsonNode ok(String path, String body) throws Exception {
        HttpResponse<String> answer = system.post(path, body);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return JsonMapper.shared().readTree(answer.body());
    }

    @Test
    void theCrossEncoderRanksAndScores() throws Exception {
        JsonNode golden = JsonMapper.shared()
                .readTree(Files.readAllBytes(MODELS.resolve("bert-cross-tiny/golden.json")))
                .get("pairs");
        ByteBuffer logits = ByteBuffer.wrap(Files.readAllBytes(MODELS.resolve("bert-cross-tiny/logits.f32")))
                .order(ByteOrder.LITTLE_ENDIAN);
        String query = golden.get(0).get(0).toString();
        String documents = "[" + golden.get(0).get(1) + "," + golden.get(1).get(1) + "]";
        double first = 1 / (1 + Math.exp(-logits.getFloat()));
        double second = 1 / (1 + Math.exp(-logits.getFloat()));
        JsonNode scores = ok("/v1/score", "{\"model\":\"cross\",\"text_1\":" + query + ",\"text_2\":" + documents + "}")
                .get("data");
        assertThat(scores.get(0).get("score").asDouble()).isCloseTo(first, within(1e-5));
        assertThat(scores.get(1).get("score").asDouble()).isCloseTo(second, within(1e-5));
        JsonNode ranking =
                ok("/v1/rerank", "{\"model\":\"cross\",\"query\":" + query + ",\"documents\":" + documents + "}");
        assertThat(ranking.get("results").get(0).get("index").asInt()).isEqualTo(first >= second ? 0 : 1);
        assertThat(ranking.get("usage").get("total_tokens").asInt()).isEqualTo(26 + 18);
    }

    @Test
    void whatIsTooLongIsRefusedWithBothNumbersUnlessItIsToBeCut() throws Exception {
        String far = "\"" + "rain ".repeat(300) + "\"";
        HttpResponse<String> refused = system.post("/v1/embeddings", "{\"model\":\"bert\",\"input\":[" + far + "]}");
        assertThat(refused.statusCode()).isEqualTo(400);
        assertThat(refused.body()).contains("160").contains("302").contains("input[0]");
        JsonNode cut =
                ok("/v1/embeddings", "{\"model\":\"bert\",\"truncate_prompt_tokens\":-1,\"input\":[" + far + "]}");
        assertThat(cut.get("usage").get("prompt_tokens").asInt()).isEqualTo(160);
    }

    @Test
    void aModelIsAskedForItsOwnTasksOnly() {
        assertThatThrownBy(() -> client.embeddings()
                        .create(EmbeddingCreateParams.builder()
                                .model("writer")
                                .input("x")
                                .build()))
                .isInstanceOf(BadRequestException.class)
                .hasMessageContaining("generate");
        assertThatThrownBy(() -> client.chat()
                        .completions()
                        .create(ChatCompletionCreateParams.builder()
                                .model("bert")
                                .addUserMessage("hi")
                                .build()))
                .isInstanceOf(BadRequestException.class)
                .hasMessageContaining("embed, score");
    }

    @Test
    void metricsCountThePromptTokens() throws Exception {
        client.embeddings().create(params(List.of("the river")));
        String metrics = system.get("/actuator/prometheus").body();
        assertThat(metrics)
                .containsPattern("millrace_prompt_tokens_total\\{[^}]*model_name=\"bert\"[^}]*} [1-9]")
                .containsPattern("millrace_engine_steps_total\\{[^}]*model_name=\"bert\"[^}]*} [1-9]")
                .containsPattern("millrace_request_success_total\\{[^}]*model_name=\"bert\"");
    }
}
