package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.core.JsonValue;
import com.openai.core.http.StreamResponse;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.models.FunctionDefinition;
import com.openai.models.FunctionParameters;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionFunctionTool;
import com.openai.models.chat.completions.ChatCompletionMessage;
import com.openai.models.chat.completions.ChatCompletionMessageFunctionToolCall;
import com.openai.models.chat.completions.ChatCompletionMessageToolCall;
import com.openai.models.chat.completions.ChatCompletionNamedToolChoice;
import com.openai.models.chat.completions.ChatCompletionToolChoiceOption;
import com.openai.models.chat.completions.ChatCompletionToolMessageParam;
import io.millrace.standalone.parts.Role;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Calls through the whole system: mock models, which say anything they may, are bound to their formats. */
@SuppressWarnings("NullAway.Init") // set by start()
class ToolCallsTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final JsonMapper JSON = new JsonMapper();

    @TempDir
    static Path dir;

    private static SystemUnderTest system;
    private static final List<SystemUnderTest> others = new ArrayList<>();
    private static OpenAIClient client;

    @BeforeAll
    static void start() throws Exception {
        system = SystemUnderTest.start(
                dir,
                Map.of("millrace.worker.models[0]", "mock:hermes", "millrace.worker.tool-format", "hermes"),
                "hermes");
        for (String format : List.of("llama3_json", "mistral_args", "generic")) {
            others.add(system.another(
                    Role.WORKER,
                    Map.of("millrace.worker.models[0]", "mock:" + format, "millrace.worker.tool-format", format)));
            SystemUnderTest.awaitServed(system.url(), format);
        }
        client = system.client();
    }

    @AfterAll
    static void stop() {
        if (system != null) {
            client.close();
            others.forEach(SystemUnderTest::close);
            system.close();
        }
    }

    private static ChatCompletionFunctionTool tool(String name, Map<String, Object> properties) {
        return ChatCompletionFunctionTool.builder()
                .function(FunctionDefinition.builder()
                        .name(name)
                        .strict(true)
                        .parameters(FunctionParameters.builder()
                                .putAdditionalProperty("type", JsonValue.from("object"))
                                .putAdditionalProperty("properties", JsonValue.from(properties))
                                .putAdditionalProperty("required", JsonValue.from(properties.keySet()))
                                .putAdditionalProperty("additionalProperties", JsonValue.from(false))
                                .build())
                        .build())
                .build();
    }

    private static ChatCompletionCreateParams.Builder chat(String model) {
        return ChatCompletionCreateParams.builder()
                .model(model)
                .addUserMessage("Turn the lamp on")
                .addTool(tool("lamp", Map.of("on", Map.of("type", "boolean"))))
                .addTool(tool("colour", Map.of("name", Map.of("enum", List.of("red", "grün")))));
    }

    private static void check(ChatCompletion answer) {
        for (ChatCompletion.Choice choice : answer.choices()) {
            List<ChatCompletionMessageFunctionToolCall> calls = choice.message().toolCalls().orElseThrow().stream()
                    .map(ChatCompletionMessageToolCall::asFunction)
                    .toList();
            assertThat(calls).isNotEmpty();
            assertThat(choice.finishReason())
                    .isIn(ChatCompletion.Choice.FinishReason.TOOL_CALLS, ChatCompletion.Choice.FinishReason.LENGTH);
            boolean cut = choice.finishReason().equals(ChatCompletion.Choice.FinishReason.LENGTH);
            for (ChatCompletionMessageFunctionToolCall call : cut ? calls.subList(0, calls.size() - 1) : calls) {
                JsonNode arguments = JSON.readTree(call.function().arguments());
                if (call.function().name().equals("lamp")) {
                    assertThat(arguments.path("on").isBoolean()).isTrue();
                } else {
                    assertThat(arguments.path("name").stringValue()).isIn("red", "grün");
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"hermes", "llama3_json", "mistral_args", "generic"})
    void aForcedCallAlwaysParses(String model) {
        ChatCompletionCreateParams.Builder params = chat(model)
                .toolChoice(ChatCompletionToolChoiceOption.Auto.REQUIRED)
                .n(3)
                .maxTokens(400);
        check(client.chat().completions().create(params.build()));
        var accumulator = ChatCompletionAccumulator.create();
        try (StreamResponse<ChatCompletionChunk> stream = client.chat()
                .completions()
                .createStreaming(params.parallelToolCalls(false).build())) {
            stream.stream().peek(ChatCompletionChunk::validate).forEach(accumulator::accumulate);
        }
        check(accumulator.chatCompletion());
        assertThat(accumulator.chatCompletion().choices())
                .allSatisfy(choice ->
                        assertThat(choice.message().toolCalls().orElseThrow()).hasSize(1));
    }

    @Test
    void aNamedFunctionIsCalledAndItsResultGoesBack() {
        ChatCompletionCreateParams.Builder params = chat("hermes")
                .toolChoice(ChatCompletionNamedToolChoice.builder()
                        .function(ChatCompletionNamedToolChoice.Function.builder()
                                .name("colour")
                                .build())
                        .build())
                .parallelToolCalls(false);
        ChatCompletionMessage message = client.chat()
                .completions()
                .create(params.build())
                .choices()
                .getFirst()
                .message();
        ChatCompletionMessageFunctionToolCall call =
                message.toolCalls().orElseThrow().getFirst().asFunction();
        assertThat(call.function().name()).isEqualTo("colour");
        ChatCompletion next = client.chat()
                .completions()
                .create(chat("hermes")
                        .addMessage(message)
                        .addMessage(ChatCompletionToolMessageParam.builder()
                                .toolCallId(call.id())
                                .content("done")
                                .build())
                        .toolChoice(ChatCompletionToolChoiceOption.Auto.NONE)
                        .maxTokens(5)
                        .build());
        assertThat(next.choices().getFirst().message().toolCalls()).isEmpty();
    }

    private static String body(String fields) {
        return "{\"model\":\"hermes\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                + "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":9}}}}}],"
                + fields + "}";
    }

    @Test
    void aStreamOfACallGoesOnWhereItBrokeOff() throws Exception {
        String text = system.post(
                        CHAT,
                        body("\"stream\":true,\"tool_choice\":\"required\",\"max_tokens\":60"),
                        "X-Millrace-Event-Ids",
                        "true")
                .body();
        List<String> events = List.of(text.split("\n\n"));
        String id = JSON.readTree(events.getFirst().substring(events.getFirst().indexOf("data: ") + 6))
                .path("id")
                .stringValue();
        assertThat(events).hasSizeGreaterThan(4);
        for (int at = 0; at < events.size(); at += 3) {
            String last = events.get(at).lines().findFirst().orElseThrow().substring(4);
            HttpResponse<String> rest = HttpClient.newHttpClient()
                    .send(
                            HttpRequest.newBuilder(URI.create(system.url() + CHAT + "/" + id))
                                    .header("Last-Event-ID", last)
                                    .build(),
                            HttpResponse.BodyHandlers.ofString());
            assertThat(rest.body())
                    .isEqualTo(
                            text.substring(text.indexOf(last) + last.length()).replaceFirst("(?s)^.*?\n\n", ""));
        }
    }

    @Test
    void whatAModelWritesByItselfIsReadToo() throws Exception {
        String call = "<tool_call>\\n{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {}}\\n</tool_call>";
        JsonNode message = message("\"guided_choice\":[\"" + call + "\"]");
        assertThat(message.path("tool_calls")).isNotEmpty();
        assertThat(message.path("content").isNull()).isTrue();
        JsonNode none = message("\"tool_choice\":\"none\",\"guided_choice\":[\"" + call + "\"]");
        assertThat(none.path("content").stringValue()).startsWith("<tool_call>");
    }

    private static JsonNode message(String fields) throws Exception {
        HttpResponse<String> response = system.post(CHAT, body(fields));
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return JSON.readTree(response.body()).path("choices").path(0).path("message");
    }

    @Test
    void aSchemaThatCannotBeHonouredIs400() throws Exception {
        String bad = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}";
        String tools =
                "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\",\"strict\":%s,\"parameters\":"
                        + bad + "}}]";
        for (String choice : List.of("auto", "required")) {
            HttpResponse<String> refused = system.post(
                    CHAT,
                    "{\"model\":\"hermes\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":\""
                            + choice + "\"," + tools.formatted("true") + "}");
            assertThat(refused.statusCode()).as(refused.body()).isEqualTo(400);
            assertThat(JSON.readTree(refused.body()).path("error").path("param").stringValue())
                    .isEqualTo("tools[1].function.parameters");
        }
        HttpResponse<String> loose = system.post(
                CHAT,
                "{\"model\":\"hermes\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":20,\"tool_choice\":\"required\","
                        + tools.formatted("false") + "}");
        assertThat(loose.statusCode()).as(loose.body()).isEqualTo(200);
    }

    @Test
    void aSchemaThatCannotBeHonouredIsNamedAsItsEndpointNamesIt() throws Exception {
        String never = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}},"
                + "\"required\":[\"a\"]}";
        String unique = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}";
        for (String schema : List.of(never, unique)) {
            HttpResponse<String> response = system.post(
                    "/v1/responses",
                    "{\"model\":\"hermes\",\"input\":\"x\",\"tool_choice\":\"required\",\"tools\":[{\"type\":\"function\","
                            + "\"name\":\"g\",\"strict\":true,\"parameters\":" + schema + "}]}");
            assertThat(response.statusCode()).as(response.body()).isEqualTo(400);
            assertThat(JSON.readTree(response.body()).at("/error/param").asString())
                    .isEqualTo("tools[0].parameters");
            HttpResponse<String> message = system.post(
                    "/v1/messages",
                    "{\"model\":\"hermes\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                            + "\"tool_choice\":{\"type\":\"any\"},\"tools\":[{\"name\":\"g\",\"strict\":true,\"input_schema\":"
                            + schema + "}]}");
            assertThat(message.statusCode()).as(message.body()).isEqualTo(400);
            assertThat(JSON.readTree(message.body()).at("/error/message").asString())
                    .contains("'tools[0].input_schema'");
        }
    }

    @Test
    void modelsSayTheirFormats() throws Exception {
        JsonNode model = JSON.readTree(system.get("/v1/models/mistral_args").body());
        assertThat(model.path("tool_format").stringValue()).isEqualTo("mistral_args");
        assertThat(model.path("reasoning_format").stringValue()).isEqualTo("none");
    }
}
