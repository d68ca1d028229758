package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.embeddings.CreateEmbeddingResponse;
import com.openai.models.embeddings.EmbeddingCreateParams;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Journal;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Embeddings, rankings and scores over real HTTP and a real broker; the worker is a script. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class PoolingTest {

    private final JsonMapper json = new JsonMapper();

    /** Output i is (i, 0.5, -i); a second attempt's outputs come twice and in another order. */
    private static void embeddings(Journal journal) {
        PoolingInput input = journal.submit().getPooling();
        int n = Math.max(input.getPairsCount(), input.getPairsCount() == 0 ? input.getInputsCount() : 0);
        journal.admit().claim();
        journal.output(0, "embedding", 0, 0.5f, -0f);
        journal.claim();
        for (int i = n - 1; i >= 0; i--) {
            journal.output(i, "embedding", i, 0.5f, -i);
        }
        journal.end(0, "stop", "");
    }

    /** Pair i scores 0.1, 0.9, 0.5, 0.9. */
    private static void scores(Journal journal) {
        float[] scores = {0.1f, 0.9f, 0.5f, 0.9f};
        journal.admit().claim();
        for (int i = 0; i < journal.submit().getPooling().getPairsCount(); i++) {
            journal.output(i, "score", scores[i % 4]);
        }
        journal.end(0, "stop", "");
    }

    private static Gateway serving(Gateway gateway) {
        return gateway.serve(credit("pool-embed", Submit.Task.EMBED, Submit.Task.SCORE), PoolingTest::embeddings)
                .serve(credit("pool-score", Submit.Task.SCORE), PoolingTest::scores)
                .serve(credit("pool-generate", Submit.Task.GENERATE), journal -> journal.answer("x"));
    }

    private static ModelCredit credit(String model, Submit.Task... tasks) {
        return ModelCredit.newBuilder()
                .setModel(model)
                .setCredits(1000)
                .setWorkers(1)
                .setMaxModelLen(512)
                .setDrainRate(100)
                .addAllTasks(List.of(tasks))
                .build();
    }

    private JsonNode ok(Gateway gateway, String path, String body) throws Exception {
        HttpResponse<String> response = gateway.post(path, body);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return json.readTree(response.body());
    }

    @Test
    void embeddings_are_lists_of_numbers_in_the_order_of_the_inputs(Gateway gateway) throws Exception {
        JsonNode answer = ok(
                serving(gateway),
                "/v1/embeddings",
                "{\"model\":\"pool-embed\",\"input\":[\"a\",\"b\",\"c\"],\"dimensions\":3,\"truncate_prompt_tokens\":-1}");
        assertThat(answer.get("object").asString()).isEqualTo("list");
        assertThat(answer.get("data").size()).isEqualTo(3);
        for (int i = 0; i < 3; i++) {
            JsonNode one = answer.get("data").get(i);
            assertThat(one.get("object").asString()).isEqualTo("embedding");
            assertThat(one.get("index").asInt()).isEqualTo(i);
            assertThat(one.get("embedding").get(0).asInt()).isEqualTo(i);
            assertThat(one.get("embedding").get(1).asDouble()).isEqualTo(0.5);
        }
        assertThat(answer.get("usage").get("prompt_tokens").asInt()).isEqualTo(Journal.PROMPT_TOKENS);
        assertThat(answer.get("usage").get("total_tokens").asInt()).isEqualTo(Journal.PROMPT_TOKENS);
        RequestRecord sent =
                gateway.cluster().await(r -> r.getSubmit().getPooling().getDimensions() == 3);
        assertThat(sent.getSubmit().getPooling().getTruncateTokens()).isEqualTo(-1);
        assertThat(sent.getSubmit().getTask()).isEqualTo(Submit.Task.EMBED);
    }

    @Test
    void inputs_are_a_text_texts_ids_or_lists_of_ids(Gateway gateway) throws Exception {
        serving(gateway);
        for (var each : List.of("\"one\"", "[\"one\"]", "[11,12]", "[[11,12]]")) {
            JsonNode answer =
                    ok(gateway, "/v1/embeddings", "{\"model\":\"pool-embed\",\"input\":" + each + ",\"user\":\"u\"}");
            assertThat(answer.get("data").size()).as(each).isEqualTo(1);
        }
        JsonNode two = ok(gateway, "/v1/embeddings", "{\"model\":\"pool-embed\",\"input\":[[77,78],[79]]}");
        assertThat(two.get("data").size()).isEqualTo(2);
        RequestRecord sent = gateway.cluster()
                .await(r -> r.getSubmit().getPooling().getInputsCount() == 2
                        && r.getSubmit().getPooling().getInputs(0).hasIds());
        assertThat(sent.getSubmit().getPooling().getInputs(1).getIds().getIdsList())
                .containsExactly(79);
    }

    @Test
    void base64_is_little_endian_float32_and_what_the_official_client_asks_for(Gateway gateway) throws Exception {
        JsonNode answer = ok(
                serving(gateway),
                "/v1/embeddings",
                "{\"model\":\"pool-embed\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\"}");
        byte[] raw = Base64.getDecoder()
                .decode(answer.get("data").get(1).get("embedding").asString());
        ByteBuffer floats = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(floats.getFloat()).isEqualTo(1f);
        assertThat(floats.getFloat()).isEqualTo(0.5f);
        assertThat(floats.getFloat()).isEqualTo(-1f);
        try (OpenAIClientScope scope = new OpenAIClientScope(gateway)) {
            CreateEmbeddingResponse response = scope.client()
                    .embeddings()
                    .create(EmbeddingCreateParams.builder()
                            .model("pool-embed")
                            .inputOfArrayOfStrings(List.of("a", "b", "c"))
                            .build());
            response.validate();
            assertThat(response.data()).hasSize(3);
            assertThat(response.data().get(2).embedding()).containsExactly(2f, 0.5f, -2f);
            assertThat(response.usage().promptTokens()).isEqualTo(Journal.PROMPT_TOKENS);
        }
    }

    private record OpenAIClientScope(OpenAIClient client) implements AutoCloseable {

        OpenAIClientScope(Gateway gateway) {
            this(OpenAIOkHttpClient.builder()
                    .baseUrl(gateway.uri("/v1").toString())
                    .apiKey("any")
                    .maxRetries(0)
                    .build());
        }

        @Override
        public void close() {
            client.close();
        }
    }

    @Test
    void documents_are_ranked_best_first(Gateway gateway) throws Exception {
        String body =
                "{\"model\":\"pool-score\",\"query\":\"q\",\"documents\":[\"d0\",{\"text\":\"d1\"},\"d2\",\"d3\"]";
        serving(gateway);
        for (String path : List.of("/v1/rerank", "/v2/rerank", "/rerank")) {
            JsonNode results = ok(gateway, path, body + "}").get("results");
            assertThat(results.valueStream().map(r -> r.get("index").asInt()).toList())
                    .containsExactly(1, 3, 2, 0);
            assertThat(results.get(0).get("document").get("text").asString()).isEqualTo("d1");
            assertThat(results.get(0).get("relevance_score").floatValue()).isEqualTo(0.9f);
        }
        JsonNode best = ok(gateway, "/v1/rerank", body + ",\"top_n\":2,\"return_documents\":false}");
        assertThat(best.get("results").size()).isEqualTo(2);
        assertThat(best.get("results").get(0).has("document")).isFalse();
        assertThat(best.get("usage").get("total_tokens").asInt()).isEqualTo(Journal.PROMPT_TOKENS);
        assertThat(best.get("id").asString()).startsWith("rerank-");
    }

    @Test
    void texts_are_scored_one_to_many_and_pair_by_pair(Gateway gateway) throws Exception {
        serving(gateway);
        JsonNode many =
                ok(gateway, "/v1/score", "{\"model\":\"pool-score\",\"text_1\":\"q\",\"text_2\":[\"a\",\"b\",\"c\"]}");
        assertThat(many.get("data").size()).isEqualTo(3);
        assertThat(many.get("data").get(1).get("score").floatValue()).isEqualTo(0.9f);
        JsonNode pairs = ok(
                gateway, "/score", "{\"model\":\"pool-score\",\"queries\":[\"q\",\"r\"],\"documents\":[\"a\",\"b\"]}");
        assertThat(pairs.get("data").size()).isEqualTo(2);
        RequestRecord sent = gateway.cluster()
                .await(r -> r.getSubmit().getPooling().getPairsCount() == 2
                        && r.getSubmit().getPooling().getInputsCount() == 4);
        assertThat(sent.getSubmit().getPooling().getPairs(1).getFirst()).isEqualTo(1);
        assertThat(sent.getSubmit().getPooling().getPairs(1).getSecond()).isEqualTo(3);
    }

    private record Bad(String path, String body, String param, String said) {}

    @Test
    void bad_input_is_a_400_that_names_the_field(Gateway gateway) throws Exception {
        serving(gateway);
        String embed = "/v1/embeddings";
        String many = "\"a\",".repeat(2048) + "\"a\"";
        for (Bad bad : List.of(
                new Bad(embed, "{\"input\":\"a\"}", "model", "missing"),
                new Bad(embed, "{\"model\":\"pool-embed\"}", "input", "missing"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":\"\"}", "input", "empty"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[]}", "input", "empty"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[\"a\",\"\"]}", "input[1]", "empty"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[\"a\",7]}", "input[1]", "a string"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[7,\"a\"]}", "input[1]", "token id"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[[7],[]]}", "input[1]", "empty"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[[7],\"a\"]}", "input[1]", "token ids"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":{}}", "input", "a string"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[-1]}", "input[0]", "token id"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":[" + many + "]}", "input", "2,049"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":\"a\",\"dimensions\":0}", "dimensions", "1"),
                new Bad(
                        embed,
                        "{\"model\":\"pool-embed\",\"input\":\"a\",\"encoding_format\":\"hex\"}",
                        "encoding_format",
                        "base64"),
                new Bad(embed, "{\"model\":\"pool-embed\",\"input\":\"a\",\"stream\":true}", "stream", "one piece"),
                new Bad(embed, "{\"model\":\"pool-generate\",\"input\":\"a\"}", "model", "tasks are: generate"),
                new Bad(embed, "{\"model\":\"pool-score\",\"input\":\"a\"}", "model", "tasks are: score"),
                new Bad(
                        "/v1/completions",
                        "{\"model\":\"pool-embed\",\"prompt\":\"a\"}",
                        "model",
                        "tasks are: embed, score"),
                new Bad("/v1/rerank", "{\"model\":\"pool-score\",\"documents\":[\"a\"]}", "query", "missing"),
                new Bad(
                        "/v1/rerank",
                        "{\"model\":\"pool-score\",\"query\":\"q\",\"documents\":[]}",
                        "documents",
                        "empty"),
                new Bad(
                        "/v1/rerank",
                        "{\"model\":\"pool-score\",\"query\":\"q\",\"documents\":\"a\"}",
                        "documents",
                        "a list"),
                new Bad(
                        "/v1/rerank",
                        "{\"model\":\"pool-score\",\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":-1}",
                        "top_n",
                        "0"),
                new Bad("/v1/score", "{\"model\":\"pool-score\",\"text_1\":\"q\"}", "text_2", "missing"),
                new Bad(
                        "/v1/score",
                        "{\"model\":\"pool-score\",\"text_1\":[\"q\",\"r\"],\"text_2\":[\"a\",\"b\",\"c\"]}",
                        "text_1",
                        "as many"))) {
            HttpResponse<String> response = gateway.post(bad.path(), bad.body());
            String shown = bad.path() + " "
                    + bad.body().substring(0, Math.min(90, bad.body().length()));
            assertThat(response.statusCode()).as(shown + response.body()).isEqualTo(400);
            JsonNode error = json.readTree(response.body()).get("error");
            assertThat(error.get("param").asString()).as(shown).isEqualTo(bad.param());
            assertThat(error.get("message").asString()).as(shown).contains(bad.said());
        }
        assertThat(gateway.get("/v1/embeddings").statusCode()).isEqualTo(405);
    }

    @Test
    void models_say_their_tasks(Gateway gateway) throws Exception {
        JsonNode model =
                json.readTree(serving(gateway).get("/v1/models/pool-embed").body());
        assertThat(model.get("tasks").valueStream().map(JsonNode::asString).toList())
                .containsExactly("embed", "score");
    }

    @Test
    void a_call_is_a_span_that_says_what_it_did(Gateway gateway) throws Exception {
        serving(gateway);
        String trace = "5bf92f3577b34da6a3ce929d0e0e4736";
        gateway.http()
                .send(
                        gateway.request("/v1/embeddings", "{\"model\":\"pool-embed\",\"input\":\"a\"}")
                                .header("traceparent", "00-" + trace + "-00f067aa0ba902b7-01")
                                .build(),
                        HttpResponse.BodyHandlers.ofString());
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        List<SpanData> spans = List.of();
        while (spans.size() < 3 && System.nanoTime() < deadline) {
            spans = gateway.spans().stream()
                    .filter(span -> span.getTraceId().equals(trace))
                    .toList();
            TimeUnit.MILLISECONDS.sleep(5);
        }
        assertThat(spans)
                .extracting(SpanData::getName)
                .containsExactlyInAnyOrder("POST /v1/embeddings", "admission", "send requests");
        SpanData server = spans.stream()
                .filter(span -> span.getName().startsWith("POST"))
                .findFirst()
                .orElseThrow();
        assertThat(server.getAttributes().get(AttributeKey.stringKey("gen_ai.operation.name")))
                .isEqualTo("embeddings");
        assertThat(server.getAttributes().get(AttributeKey.longKey("gen_ai.usage.input_tokens")))
                .isEqualTo(Journal.PROMPT_TOKENS);
    }
}
