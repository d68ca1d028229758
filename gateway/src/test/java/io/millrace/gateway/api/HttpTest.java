package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Journal;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The endpoints over real HTTP and a real broker; router and worker are scripts. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class HttpTest {

    private static final String TEXT = "Hello, \"wörld\" 🙂\n";
    private final JsonMapper json = new JsonMapper();

    @Test
    void chatIsAnsweredInOnePiece(Gateway gateway) throws Exception {
        HttpResponse<String> response = gateway.post(
                "/v1/chat/completions",
                "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":false,\"unknown\":1}");
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        JsonNode body = json.readTree(response.body());
        assertThat(body.get("object").asString()).isEqualTo("chat.completion");
        assertThat(body.get("id").asString()).startsWith("chatcmpl-");
        assertThat(body.get("system_fingerprint").asString()).isEqualTo(Journal.NUMERICS);
        JsonNode choice = body.get("choices").get(0);
        assertThat(choice.get("message").get("content").asString()).isEqualTo(TEXT);
        assertThat(choice.get("finish_reason").asString()).isEqualTo("stop");
        assertThat(body.get("usage").get("prompt_tokens").asInt()).isEqualTo(Journal.PROMPT_TOKENS);
        assertThat(body.get("usage").get("completion_tokens").asInt()).isEqualTo(4);
        assertThat(body.get("usage").get("total_tokens").asInt()).isEqualTo(11);
        assertThat(body.get("usage")
                        .get("prompt_tokens_details")
                        .get("cached_tokens")
                        .asInt())
                .isEqualTo(3);
    }

    @Test
    void chatStreamsChunksUsageAndDone(Gateway gateway) throws Exception {
        var request = gateway.request(
                "/v1/chat/completions",
                "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true,"
                        + "\"stream_options\":{\"include_usage\":true},\"n\":2,\"logprobs\":true,\"top_logprobs\":2}");
        HttpResponse<String> response = gateway.http()
                .send(request.header("X-Millrace-Event-Ids", "true").build(), HttpResponse.BodyHandlers.ofString());
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        assertThat(response.headers().firstValue("content-type").orElse("")).startsWith("text/event-stream");
        List<String> events = data(response.body());
        assertThat(events.getLast()).isEqualTo("[DONE]");
        StringBuilder[] texts = {new StringBuilder(), new StringBuilder()};
        for (String event : events.subList(0, events.size() - 2)) {
            JsonNode choice = json.readTree(event).get("choices").get(0);
            JsonNode content = choice.get("delta").get("content");
            if (content != null && !content.asString().isEmpty()) {
                texts[choice.get("index").asInt()].append(content.asString());
                assertThat(choice.get("logprobs")
                                .get("content")
                                .get(0)
                                .get("top_logprobs")
                                .size())
                        .isEqualTo(2);
            }
        }
        assertThat(texts[0]).hasToString(TEXT);
        assertThat(texts[1]).hasToString(TEXT);
        JsonNode usage = json.readTree(events.get(events.size() - 2)).get("usage");
        assertThat(usage.get("prompt_tokens").asInt()).isEqualTo(Journal.PROMPT_TOKENS);
        assertThat(usage.get("completion_tokens").asInt()).isEqualTo(8);
        assertThat(response.body().lines().filter(line -> line.startsWith("id: ")))
                .hasSizeGreaterThan(10)
                .doesNotHaveDuplicates();
    }

    @Test
    void tokensArriveOneByOne(Gateway gateway) throws Exception {
        var second = new CompletableFuture<Void>();
        gateway.serve("stepwise", journal -> {
            journal.admit().claim().token(0, "first");
            second.thenRun(() -> journal.token(0, "second").end(0, "stop", "third"));
        });
        HttpResponse<InputStream> response = gateway.http()
                .send(
                        gateway.request("/v1/completions", "{\"model\":\"stepwise\",\"prompt\":\"x\",\"stream\":true}")
                                .build(),
                        HttpResponse.BodyHandlers.ofInputStream());
        try (var reader = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            String line = reader.readLine();
            while (line != null && !line.contains("first")) {
                line = reader.readLine();
            }
            assertThat(line).contains("first");
            second.complete(null);
            assertThat(reader.lines().toList().toString()).contains("second", "third", "[DONE]");
        }
    }

    @Test
    void aBatchOfPromptsIsOneCall(Gateway gateway) throws Exception {
        gateway.serve(
                "parrot",
                journal -> journal.answer("<" + journal.submit().getPromptText()
                        + journal.submit().getPromptIds().getIdsList() + ">"));
        HttpResponse<String> texts = gateway.post(
                "/v1/completions",
                "{\"model\":\"parrot\",\"prompt\":[\"a\",\"b\",\"c\"],\"n\":2,\"echo\":true,\"logprobs\":1,\"seed\":5}");
        assertThat(texts.statusCode()).as(texts.body()).isEqualTo(200);
        JsonNode body = json.readTree(texts.body());
        assertThat(body.get("choices").size()).isEqualTo(6);
        assertThat(body.get("choices").get(3).get("text").asString()).isEqualTo("b<b[]>");
        assertThat(body.get("choices").get(3).get("index").asInt()).isEqualTo(3);
        assertThat(body.get("choices")
                        .get(3)
                        .get("logprobs")
                        .get("text_offset")
                        .get(0)
                        .asInt())
                .isEqualTo(1);
        assertThat(body.get("usage").get("prompt_tokens").asInt()).isEqualTo(3 * Journal.PROMPT_TOKENS);
        assertThat(body.get("usage").get("completion_tokens").asInt()).isEqualTo(6);
        HttpResponse<String> ids =
                gateway.post("/v1/completions", "{\"model\":\"parrot\",\"prompt\":[[1,2],[3]],\"stream\":true}");
        assertThat(ids.body()).contains("<[1, 2]>", "<[3]>", "[DONE]");
        HttpResponse<String> one = gateway.post("/v1/completions", "{\"model\":\"parrot\",\"prompt\":[1,2,3]}");
        assertThat(one.body()).contains("<[1, 2, 3]>");
    }

    @Test
    void promptsAreScoredOnRequest(Gateway gateway) throws Exception {
        gateway.serve(
                "scorer",
                journal -> journal.admit()
                        .claim()
                        .promptLogprobs(
                                "a",
                                "b",
                                String.valueOf(journal.submit().getSampling().getPromptLogprobs()))
                        .token(0, "c")
                        .end(0, "stop", ""));
        JsonNode echoed = json.readTree(gateway.post(
                                "/v1/completions",
                                "{\"model\":\"scorer\",\"prompt\":\"ab2\",\"echo\":true,\"logprobs\":2,\"max_tokens\":1}")
                        .body())
                .get("choices")
                .get(0);
        assertThat(echoed.get("text").asString()).isEqualTo("ab2c");
        assertThat(echoed.get("logprobs").get("tokens").size()).isEqualTo(4);
        assertThat(echoed.get("logprobs").get("tokens").get(2).asString()).isEqualTo("2");
        assertThat(echoed.get("logprobs").get("token_logprobs").get(0).isNull()).isTrue();
        JsonNode chat = json.readTree(gateway.post(
                        "/v1/chat/completions",
                        "{\"model\":\"scorer\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"prompt_logprobs\":5}")
                .body());
        assertThat(chat.get("prompt_logprobs").size()).isEqualTo(3);
        assertThat(chat.get("prompt_logprobs")
                        .get(2)
                        .get("12")
                        .get("decoded_token")
                        .asString())
                .isEqualTo("5");
    }

    @Test
    void theRequestRecordCarriesWhatDecidesTheAnswer(Gateway gateway) throws Exception {
        String messages = "[{\"role\": \"system\", \"content\": \"A  \\u00e9 \\n\", \"n\": 1.10},\n"
                + "{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],\"role\":\"user\"}]";
        HttpResponse<String> response = gateway.post(
                "/v1/chat/completions",
                "{\"model\":\"echo\",\"messages\":" + messages
                        + ",\"seed\":-7,\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.1,\"typical_p\":0.9,"
                        + "\"presence_penalty\":1,\"frequency_penalty\":-1.5,\"repetition_penalty\":1.1,"
                        + "\"logit_bias\":{\"5\":-100},\"max_tokens\":9,\"max_completion_tokens\":8,\"min_tokens\":2,"
                        + "\"stop\":[\"a\",\"b\"],\"stop_token_ids\":[3],\"ignore_eos\":true,\"skip_special_tokens\":false,"
                        + "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\", \"x\": 1.50}}],"
                        + "\"chat_template_kwargs\":{\"k\": 1.0},\"user\":\"u\",\"logprobs\":true}");
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        String id = json.readTree(response.body()).get("id").asString().substring("chatcmpl-".length());
        Submit submit = gateway.cluster()
                .await(request -> request.getId().equals(id) && request.hasSubmit())
                .getSubmit();
        assertThat(submit.getChat().getMessagesJson()).isEqualTo(messages);
        assertThat(submit.getChat().getToolsJson())
                .isEqualTo("[{\"type\":\"function\",\"function\":{\"name\":\"f\", \"x\": 1.50}}]");
        assertThat(submit.getChat().getTemplateKwargsJson()).isEqualTo("{\"k\": 1.0}");
        assertThat(submit.getChat().getAddGenerationPrompt()).isTrue();
        assertThat(submit.getSeed()).isEqualTo(-7);
        assertThat(submit.getTenant()).isEqualTo("default");
        assertThat(submit.getGateway()).startsWith("gateway-");
        assertThat(submit.getDeadlineMs() - submit.getCreatedMs()).isEqualTo(600_000);
        var sampling = submit.getSampling();
        assertThat(sampling.getTemperature()).isZero();
        assertThat(sampling.hasTemperature()).isTrue();
        assertThat(sampling.getTopK()).isZero();
        assertThat(sampling.getMaxTokens()).isEqualTo(8);
        assertThat(sampling.getStopList()).containsExactly("a", "b");
        assertThat(sampling.getStopTokenIdsList()).containsExactly(3);
        assertThat(sampling.getLogitBiasMap()).containsEntry(5, -100f);
        assertThat(sampling.getIgnoreEos()).isTrue();
        assertThat(sampling.getSkipSpecialTokens()).isFalse();
        assertThat(sampling.getLogprobs()).isZero();
    }

    @Test
    void anErrorBeforeTheFirstTokenIsTheStatus(Gateway gateway) throws Exception {
        gateway.serve("rejecting", journal -> journal.reject(429, "queue_full", 2_500))
                .serve(
                        "refusing",
                        journal -> journal.admit()
                                .refuse(400, "context_length_exceeded", "messages", "5,000 tokens, 2,048 fit"))
                .serve("failing", journal -> journal.admit().claim().fail(503, "model_replaced"))
                .serve("choiceless", journal -> journal.admit().claim().fail(400, "MR-SAMPLING-002", "logit_bias"))
                .serve("expiring", journal -> journal.admit().cancel("deadline"));
        for (boolean stream : new boolean[] {false, true}) {
            HttpResponse<String> rejected = chat(gateway, "rejecting", stream);
            assertThat(rejected.statusCode()).isEqualTo(429);
            assertThat(rejected.headers().firstValue("retry-after")).hasValue("3");
            assertError(rejected, 429, "queue_full", null);
            assertError(chat(gateway, "refusing", stream), 400, "context_length_exceeded", "messages");
            assertError(chat(gateway, "failing", stream), 503, "model_replaced", null);
            assertError(chat(gateway, "choiceless", stream), 400, "MR-SAMPLING-002", "logit_bias");
            assertError(chat(gateway, "expiring", stream), 504, "deadline_exceeded", null);
        }
    }

    @Test
    void anErrorAfterTheFirstTokenComesInTheStream(Gateway gateway) throws Exception {
        gateway.serve(
                "breaking", journal -> journal.admit().claim().token(0, "a").fail(500, "broken"));
        HttpResponse<String> streamed = chat(gateway, "breaking", true);
        assertThat(streamed.statusCode()).isEqualTo(200);
        List<String> events = data(streamed.body());
        assertThat(events.getLast()).isEqualTo("[DONE]");
        assertThat(json.readTree(events.get(events.size() - 2))
                        .get("error")
                        .get("code")
                        .asString())
                .isEqualTo("broken");
        assertError(chat(gateway, "breaking", false), 500, "broken", null);
    }

    @Test
    void aLongQueueOpensTheStreamWithHeartbeats(Gateway gateway) throws Exception {
        gateway.serve("queueing", journal -> {
            journal.admit();
            CompletableFuture.delayedExecutor(1_500, TimeUnit.MILLISECONDS)
                    .execute(() -> journal.refuse(400, "too_long", "messages", "late"));
        });
        HttpResponse<String> streamed = chat(gateway, "queueing", true);
        assertThat(streamed.statusCode()).isEqualTo(200);
        assertThat(streamed.body().lines().filter(": waiting"::equals)).hasSizeGreaterThan(1);
        List<String> events = data(streamed.body());
        assertThat(events).hasSize(2);
        assertThat(json.readTree(events.getFirst()).get("error").get("code").asString())
                .isEqualTo("too_long");
        assertThat(events.getLast()).isEqualTo("[DONE]");
        assertError(chat(gateway, "queueing", false), 400, "too_long", "messages");
    }

    @Test
    void zombiesAndGapsAreNotSeen(Gateway gateway) throws Exception {
        gateway.serve("fenced", journal -> {
            journal.admit().claim().token(0, "one ");
            var zombie = journal.aid();
            journal.claim();
            journal.strayToken(zombie, 0, 1, "WRONG").token(0, "two").strayToken(zombie, 0, 2, "WRONG");
            journal.end(0, "stop", ".");
        });
        assertThat(json.readTree(chat(gateway, "fenced", false).body())
                        .get("choices")
                        .get(0)
                        .get("message")
                        .get("content")
                        .asString())
                .isEqualTo("one two.");
    }

    @Test
    void aClientThatLeavesIsDetached(Gateway gateway) throws Exception {
        gateway.serve("endless", journal -> journal.admit().claim().token(0, "first"));
        HttpResponse<InputStream> response = gateway.http()
                .send(
                        gateway.request("/v1/completions", "{\"model\":\"endless\",\"prompt\":\"x\",\"stream\":true}")
                                .build(),
                        HttpResponse.BodyHandlers.ofInputStream());
        String id = response.headers().firstValue("x-request-id").orElseThrow();
        assertThat(response.body().read()).isPositive();
        response.body().close();
        RequestRecord detach =
                gateway.cluster().await(request -> request.getId().equals(id) && request.hasDetach());
        assertThat(detach.getDetach().getGateway()).startsWith("gateway-");
    }

    @Test
    void aClientThatLeavesBeforeTheAnswerIsDetached(Gateway gateway) throws Exception {
        gateway.serve("silent", Journal::admit);
        for (boolean stream : new boolean[] {true, false}) {
            var client =
                    HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
            int before = gateway.cluster().requests().size();
            var pending = client.sendAsync(
                    gateway.request(
                                    "/v1/completions",
                                    "{\"model\":\"silent\",\"prompt\":\"leaves" + stream + "\",\"stream\":" + stream
                                            + "}")
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            String id = gateway.cluster()
                    .await(request -> request.getSubmit().getPromptText().equals("leaves" + stream))
                    .getId();
            pending.cancel(true);
            client.shutdownNow();
            gateway.cluster().await(request -> request.getId().equals(id) && request.hasDetach());
            assertThat(gateway.cluster().requests().size()).isGreaterThanOrEqualTo(before + 2);
        }
    }

    @Test
    void anUnconfiguredJdkClientKeepsItsBody(Gateway gateway) throws Exception {
        try (var client = HttpClient.newHttpClient()) {
            String filler = "x".repeat(200_000);
            gateway.serve(
                    "measure",
                    journal ->
                            journal.answer("" + journal.submit().getPromptText().length()));
            HttpResponse<String> response = client.send(
                    gateway.request("/v1/completions", "{\"model\":\"measure\",\"prompt\":\"" + filler + "\"}")
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
            assertThat(response.body()).contains("\"text\":\"200000\"");
        }
    }

    @Test
    void admissionRefusesByCreditsAndWorkers(Gateway gateway) throws Exception {
        gateway.serve(
                        ModelCredit.newBuilder()
                                .setModel("full")
                                .setWorkers(1)
                                .setQueued(3)
                                .setQueuedTokens(900)
                                .setDrainRate(100)
                                .build(),
                        Journal::admit)
                .serve(ModelCredit.newBuilder().setModel("dead").setCredits(9).build(), Journal::admit);
        HttpResponse<String> full = chat(gateway, "full", true);
        assertError(full, 429, "queue_full", null);
        assertThat(full.headers().firstValue("retry-after")).hasValue("9");
        assertError(chat(gateway, "dead", false), 503, "no_worker", null);
        assertError(chat(gateway, "unheard-of", false), 404, "model_not_found", "model");
    }

    @Test
    void modelsAreListedWithTheirAliases(Gateway gateway) throws Exception {
        gateway.serve(
                ModelCredit.newBuilder()
                        .setModel("org/real")
                        .addAliases("nick")
                        .setCredits(10)
                        .setWorkers(1)
                        .setMaxModelLen(77)
                        .build(),
                journal -> journal.answer("I am " + journal.submit().getModel()));
        JsonNode one = json.readTree(gateway.get("/v1/models/org/real").body());
        assertThat(one.get("id").asString()).isEqualTo("org/real");
        assertThat(one.get("max_model_len").asInt()).isEqualTo(77);
        assertThat(chat(gateway, "nick", false).body()).contains("I am org/real");
        assertError(gateway.get("/v1/models/none"), 404, "model_not_found", "model");
    }

    @Test
    void healthGroupsAndMetricsAnswer(Gateway gateway) throws Exception {
        chat(gateway, "echo", false);
        assertThat(gateway.get("/actuator/health/liveness").statusCode()).isEqualTo(200);
        HttpResponse<String> readiness = gateway.get("/actuator/health/readiness");
        assertThat(readiness.statusCode()).isEqualTo(200);
        assertThat(readiness.body()).contains("\"kafka\":\"reachable\"");
        assertThat(gateway.get("/actuator/health/startup").statusCode()).isEqualTo(200);
        assertThat(gateway.get("/actuator/prometheus").body())
                .contains("millrace_time_to_first_token_seconds_bucket{")
                .contains("millrace_inter_token_latency_seconds_count{")
                .contains("millrace_e2e_request_latency_seconds_count{")
                .containsPattern("millrace_request_success_total\\{[^}]*finished_reason=\"stop\"")
                .contains("part=\"gateway\"");
    }

    private static HttpResponse<String> chat(Gateway gateway, String model, boolean stream) throws Exception {
        return gateway.post(
                "/v1/chat/completions",
                "{\"model\":\"" + model + "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":"
                        + stream + "}");
    }

    private void assertError(HttpResponse<String> response, int status, String code, @Nullable String param) {
        assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
        JsonNode error = json.readTree(response.body()).get("error");
        assertThat(error.get("code").asString()).isEqualTo(code);
        assertThat(error.get("message").asString()).isNotBlank();
        assertThat(error.get("type").asString()).endsWith("_error");
        assertThat(error.get("param").isNull() ? null : error.get("param").asString())
                .isEqualTo(param);
    }

    private static List<String> data(String body) {
        List<String> events = new ArrayList<>();
        for (String event : body.split("\n\n")) {
            event.lines()
                    .filter(line -> line.startsWith("data: "))
                    .map(line -> line.substring("data: ".length()))
                    .forEach(events::add);
        }
        return events;
    }
}
