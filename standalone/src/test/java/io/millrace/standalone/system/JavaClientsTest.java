package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.errors.UnauthorizedException;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import dev.langchain4j.agent.tool.ToolExecutionRequest;
import dev.langchain4j.agent.tool.ToolSpecification;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.ToolExecutionResultMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.AuthenticationException;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.ModelNotFoundException;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ResponseFormat;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.request.ToolChoice;
import dev.langchain4j.model.chat.request.json.JsonObjectSchema;
import dev.langchain4j.model.chat.request.json.JsonSchema;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.PartialToolCall;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import dev.langchain4j.model.output.FinishReason;
import io.millrace.standalone.parts.Role;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.ai.chat.messages.AssistantMessage;
import org.springframework.ai.chat.prompt.Prompt;
import org.springframework.ai.openai.OpenAiChatOptions;
import org.springframework.ai.tool.ToolCallback;
import org.springframework.ai.tool.function.FunctionToolCallback;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** LangChain4j, Spring AI and openai-java, told the address and a key, and nothing else. */
@ExtendWith(SharedSystem.class)
@Timeout(60)
@SuppressWarnings("NullAway.Init") // set by start()
class JavaClientsTest {

    private static final String KEY = "sk-of-the-clients";
    private static final String MODEL = "alpha";
    private static final JsonMapper JSON = new JsonMapper();
    private static final String LAMP_TEXT = """
            {"type":"object","properties":{"on":{"type":"boolean"},"colour":{"enum":["red","green"]}},
             "required":["on","colour"],"additionalProperties":false}""";
    private static final JsonObjectSchema LAMP = JsonObjectSchema.builder()
            .addBooleanProperty("on")
            .addEnumProperty("colour", List.of("red", "green"))
            .required("on", "colour")
            .additionalProperties(false)
            .build();

    private static SystemUnderTest gateway;

    record Lamp(boolean on, String colour) {}

    /** What a streamed answer of LangChain4j's brought. */
    private static final class Streamed implements StreamingChatResponseHandler {

        private final List<String> texts = new ArrayList<>();
        private final List<PartialToolCall> calls = new ArrayList<>();
        private final CompletableFuture<ChatResponse> end = new CompletableFuture<>();

        @Override
        public void onPartialResponse(String text) {
            texts.add(text);
        }

        @Override
        public void onPartialToolCall(PartialToolCall call) {
            calls.add(call);
        }

        @Override
        public void onCompleteResponse(ChatResponse response) {
            end.complete(response);
        }

        @Override
        public void onError(Throwable error) {
            end.completeExceptionally(error);
        }

        ChatResponse end() throws Exception {
            return end.get(30, TimeUnit.SECONDS);
        }
    }

    @BeforeAll
    static void start(SystemUnderTest shared) throws Exception {
        gateway = shared.another(Role.GATEWAY, Map.of("millrace.gateway.api-keys." + KEY, "default"));
        SystemUnderTest.awaitServed(gateway.url(), MODEL, "Authorization", "Bearer " + KEY);
    }

    @AfterAll
    static void stop() {
        if (gateway != null) {
            gateway.close();
        }
    }

    private static OpenAiChatModel.OpenAiChatModelBuilder langChain() {
        return OpenAiChatModel.builder()
                .baseUrl(gateway.url() + "/v1")
                .apiKey(KEY)
                .modelName(MODEL)
                .seed(7);
    }

    private static OpenAiStreamingChatModel langChainStreaming() {
        return OpenAiStreamingChatModel.builder()
                .baseUrl(gateway.url() + "/v1")
                .apiKey(KEY)
                .modelName(MODEL)
                .seed(7)
                .build();
    }

    private static ChatRequest.Builder request() {
        return ChatRequest.builder().messages(UserMessage.from("Turn the lamp on"));
    }

    private static ChatRequest.Builder forced() {
        return request()
                .toolSpecifications(ToolSpecification.builder()
                        .name("lamp")
                        .parameters(LAMP)
                        .build())
                .toolChoice(ToolChoice.REQUIRED)
                .maxOutputTokens(500);
    }

    private static void checkLamp(String json) {
        JsonNode lamp = JSON.readTree(json);
        assertThat(lamp.path("on").isBoolean()).isTrue();
        assertThat(lamp.path("colour").stringValue()).isIn("red", "green");
    }

    @Test
    void langChain4jStreamsTheTextThatItGetsWhole() throws Exception {
        ChatResponse whole =
                langChain().build().chat(request().maxOutputTokens(20).build());
        Streamed streamed = new Streamed();
        langChainStreaming().chat(request().maxOutputTokens(20).build(), streamed);
        ChatResponse end = streamed.end();
        assertThat(String.join("", streamed.texts))
                .isEqualTo(whole.aiMessage().text())
                .isEqualTo(end.aiMessage().text());
        assertThat(streamed.texts).hasSizeGreaterThan(5);
        assertThat(end.tokenUsage()).isEqualTo(whole.tokenUsage());
        assertThat(end.tokenUsage().outputTokenCount()).isEqualTo(20);
        assertThat(end.finishReason()).isEqualTo(whole.finishReason()).isEqualTo(FinishReason.LENGTH);
    }

    @Test
    void langChain4jCallsATool() throws Exception {
        OpenAiChatModel model = langChain().parallelToolCalls(false).build();
        ChatResponse answer = model.chat(forced().build());
        assertThat(answer.finishReason()).isEqualTo(FinishReason.TOOL_EXECUTION);
        AiMessage message = answer.aiMessage();
        assertThat(message.toolExecutionRequests()).hasSize(1);
        ToolExecutionRequest call = message.toolExecutionRequests().getFirst();
        assertThat(call.name()).isEqualTo("lamp");
        checkLamp(call.arguments());
        ChatResponse after = model.chat(forced().messages(
                        UserMessage.from("Turn the lamp on"), message, ToolExecutionResultMessage.from(call, "done"))
                .toolChoice(ToolChoice.NONE)
                .maxOutputTokens(5)
                .build());
        assertThat(after.aiMessage().hasToolExecutionRequests()).isFalse();

        Streamed streamed = new Streamed();
        langChainStreaming().chat(forced().build(), streamed);
        AiMessage last = streamed.end().aiMessage();
        assertThat(last.toolExecutionRequests()).isNotEmpty();
        assertThat(streamed.calls).hasSizeGreaterThan(1);
        checkLamp(last.toolExecutionRequests().getFirst().arguments());
    }

    @Test
    void langChain4jGetsJsonByASchema() {
        ResponseFormat format = ResponseFormat.builder()
                .type(ResponseFormatType.JSON)
                .jsonSchema(JsonSchema.builder().name("lamp").rootElement(LAMP).build())
                .build();
        for (boolean strict : new boolean[] {false, true}) {
            ChatRequest request =
                    request().responseFormat(format).maxOutputTokens(500).build();
            checkLamp(langChain()
                    .strictJsonSchema(strict)
                    .build()
                    .chat(request)
                    .aiMessage()
                    .text());
        }
    }

    @Test
    void langChain4jHasItsOwnExceptions() {
        assertThatThrownBy(() -> langChain().modelName("none").build().chat("x"))
                .isInstanceOf(ModelNotFoundException.class)
                .hasMessageContaining("none");
        assertThatThrownBy(() -> langChain().temperature(9.0).build().chat("x"))
                .isInstanceOf(InvalidRequestException.class)
                .hasMessageContaining("temperature");
        assertThatThrownBy(() -> langChain().apiKey("wrong").build().chat("x"))
                .isInstanceOf(AuthenticationException.class);
        Streamed streamed = new Streamed();
        langChainStreaming().chat(request().modelName("none").build(), streamed);
        assertThatThrownBy(streamed::end).hasCauseInstanceOf(ModelNotFoundException.class);
    }

    private static org.springframework.ai.openai.OpenAiChatModel spring(
            java.util.function.Consumer<OpenAiChatOptions.Builder> more) {
        OpenAiChatOptions.Builder options = OpenAiChatOptions.builder();
        options.baseUrl(gateway.url() + "/v1").apiKey(KEY).model(MODEL);
        options.seed(7);
        more.accept(options);
        return org.springframework.ai.openai.OpenAiChatModel.builder()
                .options(options.build())
                .build();
    }

    @Test
    void springAiStreamsTheTextThatItGetsWhole() {
        var model = spring(options -> options.maxTokens(20));
        String whole = model.call("Turn the lamp on");
        List<String> pieces = model.stream("Turn the lamp on").collectList().block();
        assertThat(pieces).hasSizeGreaterThan(5);
        assertThat(String.join("", pieces == null ? List.of() : pieces)).isEqualTo(whole);
    }

    @Test
    void springAiCallsATool() {
        // Its own schema of the record needs another version of a library than openai-java's.
        ToolCallback lamp = FunctionToolCallback.builder("lamp", (Lamp wanted) -> "now " + wanted.colour())
                .description("Turns a lamp on or off")
                .inputSchema(LAMP_TEXT)
                .inputType(Lamp.class)
                .build();
        var model = spring(options -> options.maxTokens(500)
                .toolCallbacks(List.of(lamp))
                .toolChoice("required")
                .parallelToolCalls(false));
        AssistantMessage message =
                model.call(new Prompt("Turn the lamp on")).getResult().getOutput();
        assertThat(message.getToolCalls()).hasSize(1);
        assertThat(message.getToolCalls().getFirst().name()).isEqualTo("lamp");
        assertThat(lamp.call(message.getToolCalls().getFirst().arguments())).containsPattern("now (red|green)");
        List<AssistantMessage.ToolCall> streamed = model.stream(new Prompt("Turn the lamp on"))
                .flatMapIterable(chunk -> chunk.getResult().getOutput().getToolCalls())
                .collectList()
                .block();
        assertThat(streamed).isNotEmpty();
        assertThat(lamp.call(streamed.getLast().arguments())).containsPattern("now (red|green)");
    }

    @Test
    void springAiGetsJsonByASchema() {
        checkLamp(spring(options -> options.maxTokens(500).outputSchema(LAMP_TEXT))
                .call("A lamp"));
    }

    @Test
    void openAiJavaHasTypedExceptions() {
        assertThatThrownBy(() -> ask(KEY, "none", 1.0)).isInstanceOf(NotFoundException.class);
        assertThatThrownBy(() -> ask(KEY, MODEL, 9.0))
                .isInstanceOfSatisfying(
                        BadRequestException.class, e -> assertThat(e.param()).hasValue("temperature"));
        assertThatThrownBy(() -> ask("wrong", MODEL, 1.0))
                .isInstanceOfSatisfying(
                        UnauthorizedException.class, e -> assertThat(e.code()).hasValue("invalid_api_key"));
        assertThat(ask(KEY, MODEL, 1.0).choices()).hasSize(1);
    }

    private static ChatCompletion ask(String key, String model, double temperature) {
        OpenAIClient client = OpenAIOkHttpClient.builder()
                .baseUrl(gateway.url() + "/v1")
                .apiKey(key)
                .build();
        try {
            return client.chat()
                    .completions()
                    .create(ChatCompletionCreateParams.builder()
                            .model(model)
                            .addUserMessage("x")
                            .maxCompletionTokens(2)
                            .temperature(temperature)
                            .build());
        } finally {
            client.close();
        }
    }

    @Test
    void springAiHasTypedExceptions() {
        assertThatThrownBy(() -> spring(options -> options.model("none")).call("x"))
                .isInstanceOf(NotFoundException.class);
        assertThatThrownBy(() -> spring(options -> options.temperature(9.0)).call("x"))
                .isInstanceOfSatisfying(
                        BadRequestException.class, e -> assertThat(e.param()).hasValue("temperature"));
        assertThatThrownBy(() -> spring(options -> options.apiKey("wrong")).call("x"))
                .isInstanceOf(UnauthorizedException.class);
    }
}
