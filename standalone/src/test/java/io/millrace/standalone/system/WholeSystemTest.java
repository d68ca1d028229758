package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.core.http.StreamResponse;
import com.openai.errors.NotFoundException;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import io.millrace.standalone.parts.Role;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two workers that serve two mock models, a router and a gateway over a real broker, used as clients use them. */
class WholeSystemTest {

    private static final int TOKENS = 24;

    @TempDir
    static Path dir;

    private static SystemUnderTest system;

    private static OpenAIClient client;

    @BeforeAll
    static void start() throws Exception {
        system = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.count", 2,
                        "millrace.worker.models[0]", "mock:alpha",
                        "millrace.worker.models[1]", "mock:beta",
                        "millrace.worker.mock-step", "2ms"),
                "alpha",
                "beta");
        client = system.client();
    }

    @AfterAll
    static void stop() {
        if (system != null) {
            client.close();
            system.close();
        }
    }

    @Test
    void theOfficialClientStreamsTheSameTextThatItGetsWhole() {
        ChatCompletion whole = client.chat().completions().create(params("alpha", "one and the same"));
        String text = whole.choices().getFirst().message().content().orElseThrow();

        assertThat(text).isNotBlank();
        assertThat(whole.usage().orElseThrow().completionTokens()).isEqualTo(TOKENS);
        assertThat(streamed(client, params("alpha", "one and the same"))).isEqualTo(text);
    }

    @Test
    void thirtyTwoAtOnceAnswerAsEachAlone() throws Exception {
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<String>> together = new ArrayList<>();
            for (int i = 0; i < 32; i++) {
                ChatCompletionCreateParams request = params("alpha", "question number " + i);
                together.add(threads.submit(() -> streamed(client, request)));
            }
            for (int i = 0; i < 32; i++) {
                assertThat(streamed(client, params("alpha", "question number " + i)))
                        .as("request %d", i)
                        .isEqualTo(together.get(i).get());
            }
        }
    }

    @Test
    void twoModelsAnswerDifferentlyUnderTheirOwnNames() throws Exception {
        String alpha = streamed(client, params("alpha", "who are you"));
        String beta = streamed(client, params("beta", "who are you"));

        assertThat(alpha).isNotEqualTo(beta);
        assertThat(system.get("/v1/models").body()).contains("\"alpha\"").contains("\"beta\"");
    }

    @Test
    void anUnknownModelIs404WithTheNamesThatThereAre() {
        assertThatThrownBy(() -> client.chat().completions().create(params("gamma", "hello")))
                .isInstanceOf(NotFoundException.class)
                .hasMessageContaining("gamma");
    }

    @Test
    void badInputIsAnsweredInOpenAisShapeAndNeverWithAStackTrace() throws Exception {
        Map<String, Integer> bodies = Map.of(
                "{",
                400,
                "[]",
                400,
                "{\"model\":\"alpha\",\"messages\":\"text\"}",
                400,
                "{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"temperature\":1e9}",
                400,
                "{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":0}",
                400,
                "{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"" + "word ".repeat(9_000)
                        + "\"}]}",
                400);
        for (var each : bodies.entrySet()) {
            var answer = system.post("/v1/chat/completions", each.getKey());
            String shown = each.getKey().substring(0, Math.min(80, each.getKey().length()));
            assertThat(answer.statusCode()).as(shown).isEqualTo(each.getValue());
            assertThat(answer.body())
                    .as(shown)
                    .contains("\"error\"")
                    .contains("\"type\"")
                    .doesNotContain("\tat ");
        }
    }

    @Test
    void everyPartsMetricsAreThereUnderTheNamesThatVllmsUsersKnow() throws Exception {
        streamed(client, params("alpha", "count me"));
        String metrics = system.get("/actuator/prometheus").body();
        for (String name : List.of(
                "millrace_time_to_first_token_seconds_bucket",
                "millrace_inter_token_latency_seconds_bucket",
                "millrace_e2e_request_latency_seconds_bucket",
                "millrace_num_requests_running",
                "millrace_num_requests_waiting",
                "millrace_kv_cache_usage_perc",
                "millrace_prefix_cache_queries_total",
                "millrace_num_preemptions_total",
                "millrace_kv_cache_blocks_swapped_out_total",
                "millrace_engine_copied_rows_total",
                "millrace_generation_tokens_total")) {
            assertThat(metrics).contains("\n" + name);
        }
    }

    @Test
    void aProfileIsRefusedWhereDebugEndpointsAreOff() throws Exception {
        var answer = system.post("/debug/profile", "");
        assertThat(answer.statusCode()).isEqualTo(403);
        assertThat(answer.body()).contains("MR-PROF-001");
    }

    @Test
    void readinessIsUpWhenEveryPartIsReady() throws Exception {
        assertThat(system.get("/actuator/health/readiness").body())
                .contains("\"router\":\"ready\"")
                .contains("\"worker 2\":\"ready\"")
                .contains("\"gateway\":\"ready\"");
    }

    @Test
    void aGatewayThatFindsNoRouterLivesAndHasStartedButIsNotReady() throws Exception {
        try (var alone = system.another(Role.GATEWAY, Map.of("millrace.kafka.topic-prefix", "alone."))) {
            assertThat(alone.get("/actuator/health/liveness").statusCode()).isEqualTo(200);
            var started = alone.get("/actuator/health/startup");
            assertThat(started.statusCode()).as(started.body()).isEqualTo(200);
            assertThat(started.body()).contains("\"gateway\":\"started\"");
            var ready = alone.get("/actuator/health/readiness");
            assertThat(ready.statusCode()).as(ready.body()).isEqualTo(503);
            assertThat(ready.body()).contains("\"gateway\":\"not ready\"");
            assertThat(alone.get("/actuator/health").body()).contains("\"kafka\":\"reachable\"", "\"routers\":0");
        }
    }

    static ChatCompletionCreateParams params(String model, String content) {
        return ChatCompletionCreateParams.builder()
                .model(model)
                .addUserMessage(content)
                .temperature(0)
                .maxCompletionTokens(TOKENS)
                .putAdditionalBodyProperty("ignore_eos", com.openai.core.JsonValue.from(true))
                .build();
    }

    static String streamed(OpenAIClient client, ChatCompletionCreateParams params) {
        try (StreamResponse<ChatCompletionChunk> chunks =
                client.chat().completions().createStreaming(params)) {
            return chunks.stream()
                    .flatMap(chunk -> chunk.choices().stream())
                    .flatMap(choice -> choice.delta().content().stream())
                    .collect(Collectors.joining());
        }
    }
}
