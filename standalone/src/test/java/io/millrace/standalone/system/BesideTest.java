package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.anthropic.client.AnthropicClient;
import com.anthropic.client.okhttp.AnthropicOkHttpClient;
import com.anthropic.core.JsonValue;
import com.anthropic.core.http.StreamResponse;
import com.anthropic.errors.BadRequestException;
import com.anthropic.errors.NotFoundException;
import com.anthropic.helpers.MessageAccumulator;
import com.anthropic.models.messages.ContentBlockParam;
import com.anthropic.models.messages.Message;
import com.anthropic.models.messages.MessageCountTokensParams;
import com.anthropic.models.messages.MessageCreateParams;
import com.anthropic.models.messages.RawMessageStreamEvent;
import com.anthropic.models.messages.StopReason;
import com.anthropic.models.messages.Tool;
import com.anthropic.models.messages.ToolChoiceNone;
import com.anthropic.models.messages.ToolChoiceTool;
import com.anthropic.models.messages.ToolResultBlockParam;
import com.anthropic.models.messages.ToolUseBlock;
import com.fasterxml.jackson.core.type.TypeReference;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What stands beside generation by OpenAI's API, on a running cluster: Anthropic's API, tokens, TLS, other weights. */
@ExtendWith(SharedSystem.class)
class BesideTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String PASSWORD = "changeit";
    private static final int REQUESTS = 8;
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final ExecutorService THREADS = Executors.newVirtualThreadPerTaskExecutor();

    @TempDir
    static Path dir;

    private static SystemUnderTest system;

    private static AnthropicClient client;

    @BeforeAll
    static void start(SystemUnderTest shared) {
        system = shared;
        client = AnthropicOkHttpClient.builder()
                .baseUrl(system.url())
                .apiKey("any")
                .maxRetries(0)
                .build();
    }

    @AfterAll
    static void stop() {
        if (client != null) {
            client.close();
        }
    }

    private static MessageCreateParams.Builder message(String model) {
        return MessageCreateParams.builder()
                .model(model)
                .maxTokens(24)
                .putAdditionalBodyProperty("temperature", JsonValue.from(0))
                .putAdditionalBodyProperty("ignore_eos", JsonValue.from(true))
                .system("Be brief")
                .addUserMessage("Say something");
    }

    private static String text(Message message) {
        return message.content().stream()
                .flatMap(block -> block.text().stream())
                .map(block -> block.text())
                .collect(Collectors.joining());
    }

    private static JsonNode post(String path, String body) throws Exception {
        HttpResponse<String> response = system.post(path, body);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return JSON.readTree(response.body());
    }

    @Test
    void anthropicsClientStreamsTheSameMessageThatItGetsWhole() {
        Message whole = client.messages().create(message("alpha").build());
        var streamed = MessageAccumulator.create();
        try (StreamResponse<RawMessageStreamEvent> events =
                client.messages().createStreaming(message("alpha").build())) {
            events.stream().forEach(streamed::accumulate);
        }

        assertThat(text(whole)).isNotEmpty();
        assertThat(text(streamed.message())).isEqualTo(text(whole));
        assertThat(whole.stopReason()).contains(StopReason.MAX_TOKENS);
        assertThat(streamed.message().stopReason()).isEqualTo(whole.stopReason());
        assertThat(whole.usage().outputTokens()).isEqualTo(24);
        assertThat(streamed.message().usage().outputTokens()).isEqualTo(24);
        long counted = client.messages()
                .countTokens(MessageCountTokensParams.builder()
                        .model("alpha")
                        .system("Be brief")
                        .addUserMessage("Say something")
                        .build())
                .inputTokens();
        assertThat(whole.usage().inputTokens()
                        + whole.usage().cacheReadInputTokens().orElse(0L))
                .isEqualTo(counted);
        assertThat(client.models().list().data()).anyMatch(model -> model.id().equals("alpha"));
    }

    @Test
    void errorsAreThoseOfAnthropicsClient() {
        assertThatThrownBy(() -> client.messages().create(message("nobody").build()))
                .isInstanceOf(NotFoundException.class);
        assertThatThrownBy(() -> client.messages()
                        .create(message("alpha").maxTokens(100_000).build()))
                .isInstanceOfSatisfying(
                        BadRequestException.class,
                        e -> assertThat(e.getMessage()).contains("max_tokens"));
    }

    private static MessageCreateParams forced() {
        return MessageCreateParams.builder()
                .model("alpha")
                .maxTokens(400)
                .putAdditionalBodyProperty("temperature", JsonValue.from(0))
                .addTool(Tool.builder()
                        .name("lamp")
                        .inputSchema(Tool.InputSchema.builder()
                                .properties(Tool.InputSchema.Properties.builder()
                                        .putAdditionalProperty("on", JsonValue.from(Map.of("type", "boolean")))
                                        .build())
                                .addRequired("on")
                                .putAdditionalProperty("additionalProperties", JsonValue.from(false))
                                .build())
                        .build())
                .toolChoice(ToolChoiceTool.builder()
                        .name("lamp")
                        .disableParallelToolUse(true)
                        .build())
                .addUserMessage("Turn the lamp on")
                .build();
    }

    private static ToolUseBlock call(Message message) {
        assertThat(message.stopReason()).contains(StopReason.TOOL_USE);
        List<ToolUseBlock> calls = message.content().stream()
                .flatMap(block -> block.toolUse().stream())
                .toList();
        assertThat(calls).hasSize(1);
        assertThat(calls.getFirst().name()).isEqualTo("lamp");
        return calls.getFirst();
    }

    @Test
    void aForcedCallIsTheSameWholeAndStreamedAndItsResultGoesBack() {
        Message whole = client.messages().create(forced());
        var streamed = MessageAccumulator.create();
        try (StreamResponse<RawMessageStreamEvent> events = client.messages().createStreaming(forced())) {
            events.stream().peek(RawMessageStreamEvent::validate).forEach(streamed::accumulate);
        }

        ToolUseBlock call = call(whole.validate());
        Map<String, Boolean> input =
                Objects.requireNonNull(call._input().convert(new TypeReference<Map<String, Boolean>>() {}));
        assertThat(input).containsOnlyKeys("on");
        assertThat(call(streamed.message())._input()).isEqualTo(call._input());
        Message after = client.messages()
                .create(forced().toBuilder()
                        .maxTokens(5)
                        .toolChoice(ToolChoiceNone.builder().build())
                        .addMessage(whole)
                        .addUserMessageOfContentBlockParams(
                                List.of(ContentBlockParam.ofToolResult(ToolResultBlockParam.builder()
                                        .toolUseId(call.id())
                                        .content("done")
                                        .build())))
                        .build());
        assertThat(after.usage().outputTokens()).isPositive();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                ",\"tools\":[{\"name\":\"lamp\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"colour\":{\"enum\":[\"red and green\"]}},\"required\":[\"colour\"]}}],\"tool_choice\":{\"type\":\"any\"}"
            })
    void aMessageThatBrokeOffGoesOnByItsLastEvent(String tools) throws Exception {
        String body =
                "{\"model\":\"alpha\",\"max_tokens\":80,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
                        + tools + "}";
        String whole = system.post("/v1/messages", body, "X-Millrace-Event-Ids", "true")
                .body();
        List<String> events = List.of(whole.split("(?<=\n\n)"));
        assertThat(whole).contains(tools.isEmpty() ? "\"type\":\"text_delta\"" : "\"type\":\"input_json_delta\"");
        int heard = events.size() / 2;
        String last = events.get(heard - 1)
                .lines()
                .filter(line -> line.startsWith("id: "))
                .findFirst()
                .orElseThrow()
                .substring(4);
        String id = JSON.readTree(events.getFirst().substring(events.getFirst().indexOf("data: ") + 6))
                .path("message")
                .path("id")
                .asString();

        HttpResponse<String> rest = HTTP.send(
                HttpRequest.newBuilder(URI.create(system.url() + "/v1/messages/" + id))
                        .header("Last-Event-ID", last)
                        .build(),
                HttpResponse.BodyHandlers.ofString());

        assertThat(rest.body()).isEqualTo(String.join("", events.subList(heard, events.size())));
    }

    @Test
    void tokensAreThoseThatThePromptWouldHave() throws Exception {
        JsonNode tokens = post("/tokenize", "{\"model\":\"alpha\",\"prompt\":\"Grüße 🙂\",\"return_token_strs\":true}");
        assertThat(tokens.path("count").asInt()).isEqualTo(tokens.path("tokens").size());
        assertThat(tokens.path("token_strs").size())
                .isEqualTo(tokens.path("count").asInt());
        assertThat(tokens.path("max_model_len").asInt()).isEqualTo(8192);
        assertThat(post("/detokenize", "{\"model\":\"alpha\",\"tokens\":" + tokens.path("tokens") + "}")
                        .path("prompt")
                        .asString())
                .isEqualTo("Grüße 🙂");

        String messages = "\"messages\":[{\"role\":\"user\",\"content\":\"How many?\"}]";
        int counted = post("/tokenize", "{\"model\":\"alpha\"," + messages + "}")
                .path("count")
                .asInt();
        assertThat(post("/v1/chat/completions", "{\"model\":\"alpha\",\"max_tokens\":1," + messages + "}")
                        .path("usage")
                        .path("prompt_tokens")
                        .asInt())
                .isEqualTo(counted);
        int far = post("/tokenize", "{\"model\":\"alpha\",\"prompt\":\"" + "x".repeat(300_000) + "\"}")
                .path("tokens")
                .size();
        assertThat(far).as("longer than the context, in several parts").isEqualTo(300_000);
        HttpResponse<String> wrong = system.post("/detokenize", "{\"model\":\"alpha\",\"tokens\":[1,99999]}");
        assertThat(wrong.statusCode()).isEqualTo(400);
        assertThat(wrong.body()).contains("tokens[1] is 99999", "\"param\":\"tokens\"");
    }

    @Test
    @Tag("long")
    void otherWeightsComeWithoutAStreamOrARequestLost() throws Exception {
        Map<String, Object> slow = Map.of(
                "millrace.worker.models[1]", "mock:old",
                "millrace.worker.models[2]", "mock:new",
                "millrace.worker.drain-grace", "60s",
                "millrace.worker.max-running", 2,
                "millrace.worker.mock-step", "10ms");
        List<CompletableFuture<String>> running = new ArrayList<>();
        var begun = new CountDownLatch(1);
        SystemUnderTest old = system.another(Role.WORKER, with(slow, "rolling=mock:old"));
        try {
            SystemUnderTest.awaitServed(system.url(), "rolling");
            // More than it runs at once: some wait at the worker, some at the router.
            for (int i = 0; i < REQUESTS; i++) {
                String body = completion("rolling", i, true);
                running.add(CompletableFuture.supplyAsync(() -> stream(body, begun), THREADS));
            }
            assertThat(begun.await(30, TimeUnit.SECONDS)).isTrue();
        } catch (Exception | Error e) {
            old.close();
            throw e;
        }
        try (SystemUnderTest fresh = system.another(Role.WORKER, with(slow, "rolling=mock:new"))) {
            assertThat(running).as("not all have ended already").anyMatch(answer -> !answer.isDone());
            old.close();
            for (int i = 0; i < REQUESTS; i++) {
                String answer = running.get(i).get(30, TimeUnit.SECONDS);
                assertThat(answer).as("prompt %d", i).isEqualTo(whole("old", i)).isNotEqualTo(whole("new", i));
            }
            assertThat(whole("rolling", 1)).isEqualTo(whole("new", 1));
            assertThat(fresh.url()).isNotEmpty();
        }
    }

    private static Map<String, Object> with(Map<String, Object> properties, String model) {
        Map<String, Object> all = new HashMap<>(properties);
        all.put("millrace.worker.models[0]", model);
        return all;
    }

    private static String completion(String model, int prompt, boolean stream) {
        return "{\"model\":\"%s\",\"max_tokens\":100,\"temperature\":0,\"ignore_eos\":true,\"stream\":%s,\"prompt\":\"p%d\"}"
                .formatted(model, stream, prompt);
    }

    private static String whole(String model, int prompt) throws Exception {
        JsonNode choice = post("/v1/completions", completion(model, prompt, false))
                .path("choices")
                .path(0);
        assertThat(choice.path("finish_reason").asString()).isEqualTo("length");
        return choice.path("text").asString();
    }

    private static String stream(String body, CountDownLatch begun) {
        var request = HttpRequest.newBuilder(URI.create(system.url() + "/v1/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        try (Stream<String> lines =
                HTTP.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
            return lines.filter(line -> line.startsWith("data: {"))
                    .peek(line -> begun.countDown())
                    .map(line -> JSON.readTree(line.substring(6))
                            .path("choices")
                            .path(0)
                            .path("text")
                            .asString(""))
                    .collect(Collectors.joining());
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void aCertificateIsAllThatHttpsAndItsWebSocketsNeed() throws Exception {
        Path store = dir.resolve("own.p12");
        Process keytool = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "keytool")
                                .toString(),
                        "-genkeypair",
                        "-alias",
                        "own",
                        "-keyalg",
                        "EC",
                        "-dname",
                        "CN=localhost",
                        "-ext",
                        "SAN=dns:localhost,ip:127.0.0.1",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        store.toString(),
                        "-storepass",
                        PASSWORD)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        assertThat(keytool.waitFor()).isZero();
        try (SystemUnderTest secure = system.another(
                        Role.GATEWAY,
                        Map.of(
                                "server.ssl.key-store",
                                "file:" + store,
                                "server.ssl.key-store-password",
                                PASSWORD,
                                "server.ssl.key-store-type",
                                "PKCS12"));
                HttpClient http =
                        HttpClient.newBuilder().sslContext(trusting(store)).build()) {
            URI https = URI.create(secure.url().replace("http://127.0.0.1", "https://localhost"));
            HttpResponse<String> answer = http.send(
                    HttpRequest.newBuilder(https.resolve("/v1/completions"))
                            .header("Content-Type", "application/json")
                            .POST(HttpRequest.BodyPublishers.ofString(completion("alpha", 1, false)))
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);

            var heard = new CompletableFuture<String>();
            WebSocket socket = http.newWebSocketBuilder()
                    .buildAsync(
                            URI.create("wss" + https.toString().substring(5) + "/v1/responses"), new Listener(heard))
                    .get(20, TimeUnit.SECONDS);
            socket.sendText(
                    "{\"type\":\"response.create\",\"model\":\"alpha\",\"max_output_tokens\":3,\"input\":\"x\"}", true);
            assertThat(heard.get(20, TimeUnit.SECONDS)).contains("response.output_text.delta");
            socket.abort();
        }
    }

    private static SSLContext trusting(Path store) throws Exception {
        KeyStore keys = KeyStore.getInstance(store.toFile(), PASSWORD.toCharArray());
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        trusted.setCertificateEntry("own", Objects.requireNonNull(keys.getCertificate("own")));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    /** Gathers text until a response is over. */
    private static final class Listener implements WebSocket.Listener {

        private final CompletableFuture<String> over;
        private final StringBuilder text = new StringBuilder();

        Listener(CompletableFuture<String> over) {
            this.over = over;
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            text.append(data);
            if (text.indexOf("\"type\":\"response.incomplete\"") >= 0
                    || text.indexOf("\"type\":\"response.completed\"") >= 0) {
                over.complete(text.toString());
            }
            socket.request(1);
            return CompletableFuture.completedStage(null);
        }
    }
}
