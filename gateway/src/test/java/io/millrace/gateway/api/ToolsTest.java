package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.core.http.StreamResponse;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.helpers.ResponseAccumulator;
import com.openai.models.FunctionDefinition;
import com.openai.models.FunctionParameters;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionFunctionTool;
import com.openai.models.chat.completions.ChatCompletionMessage;
import com.openai.models.chat.completions.ChatCompletionMessageFunctionToolCall;
import com.openai.models.chat.completions.ChatCompletionMessageToolCall;
import com.openai.models.chat.completions.ChatCompletionToolMessageParam;
import com.openai.models.responses.FunctionTool;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseFunctionCallArgumentsDeltaEvent;
import com.openai.models.responses.ResponseStatus;
import com.openai.models.responses.ResponseStreamEvent;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Journal;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ModelCredit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Calls that a model makes by itself, and reasoning, as OpenAI's client sees them. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class ToolsTest {

    private static final String CHAT = "/v1/chat/completions";

    private static OpenAIClient client(Gateway gateway) {
        return OpenAIOkHttpClient.builder()
                .baseUrl(gateway.uri("/v1").toString())
                .apiKey("any")
                .maxRetries(0)
                .build();
    }

    static void serve(Gateway gateway, String model, String tools, String... words) {
        gateway.serve(
                ModelCredit.newBuilder()
                        .setModel(model)
                        .setCredits(1000)
                        .setWorkers(1)
                        .setMaxModelLen(2048)
                        .setNumericsId(Journal.NUMERICS)
                        .setToolFormat(tools)
                        .setReasoningFormat("think")
                        .build(),
                journal -> journal.answer(words));
    }

    private static ChatCompletionFunctionTool tool(String name) {
        return ChatCompletionFunctionTool.builder()
                .function(FunctionDefinition.builder()
                        .name(name)
                        .parameters(FunctionParameters.builder()
                                .putAdditionalProperty("type", JsonValue.from("object"))
                                .putAdditionalProperty(
                                        "properties", JsonValue.from(Map.of("city", Map.of("type", "string"))))
                                .build())
                        .build())
                .build();
    }

    private static ChatCompletionCreateParams.Builder chat(String model) {
        return ChatCompletionCreateParams.builder()
                .model(model)
                .addUserMessage("What is the weather like in Paris and Rome?")
                .addTool(tool("get_weather"))
                .addTool(tool("get_time"));
    }

    static final String[] TWO_CALLS = {
        "<think>",
        "Two ",
        "cities.",
        "</think>",
        "\n\n",
        "I look.",
        "\n<tool",
        "_call>\n",
        "{\"name\": \"get_weather\", ",
        "\"arguments\": {\"city\":",
        " \"Paris\"}}\n</tool_call>",
        "\n<tool_call>\n{\"name\": \"get_time\"",
        ", \"arguments\": {}}",
        "\n</tool_call>"
    };

    private static void check(ChatCompletion answer) {
        ChatCompletion.Choice choice = answer.choices().getFirst();
        assertThat(choice.finishReason()).isEqualTo(ChatCompletion.Choice.FinishReason.TOOL_CALLS);
        assertThat(choice.message().content()).hasValue("I look.");
        List<ChatCompletionMessageFunctionToolCall> calls = choice.message().toolCalls().orElseThrow().stream()
                .map(ChatCompletionMessageToolCall::asFunction)
                .toList();
        assertThat(calls).extracting(call -> call.function().name()).containsExactly("get_weather", "get_time");
        assertThat(calls)
                .extracting(call -> call.function().arguments())
                .containsExactly("{\"city\": \"Paris\"}", "{}");
        assertThat(calls)
                .extracting(ChatCompletionMessageFunctionToolCall::id)
                .doesNotHaveDuplicates()
                .allMatch(id -> id.matches("call_[0-9a-f]{24}"));
    }

    @Test
    void callsInOnePieceAndStreamed(Gateway gateway) {
        serve(gateway, "tools-hermes", "hermes", TWO_CALLS);
        ChatCompletion whole =
                client(gateway).chat().completions().create(chat("tools-hermes").build());
        whole.validate();
        check(whole);
        assertThat(reasoning(whole.choices().getFirst().message())).isEqualTo("Two cities.");

        var accumulator = ChatCompletionAccumulator.create();
        List<ChatCompletionChunk.Choice.Delta> deltas = new ArrayList<>();
        try (StreamResponse<ChatCompletionChunk> stream = client(gateway)
                .chat()
                .completions()
                .createStreaming(chat("tools-hermes").build())) {
            stream.stream().peek(ChatCompletionChunk::validate).forEach(chunk -> {
                accumulator.accumulate(chunk);
                deltas.add(chunk.choices().getFirst().delta());
            });
        }
        check(accumulator.chatCompletion());
        List<ChatCompletionChunk.Choice.Delta.ToolCall> calls = deltas.stream()
                .flatMap(delta -> delta.toolCalls().stream())
                .flatMap(List::stream)
                .toList();
        assertThat(calls.getFirst().id()).isPresent();
        assertThat(calls.getFirst().function().orElseThrow().name()).hasValue("get_weather");
        assertThat(calls.getFirst().function().orElseThrow().arguments()).hasValue("");
        assertThat(calls.stream().filter(call -> call.index() == 0)).hasSizeGreaterThan(2);
        assertThat(calls.stream().filter(call -> call.id().isPresent())).hasSize(2);
    }

    private static String reasoning(ChatCompletionMessage message) {
        JsonValue value = message._additionalProperties().get("reasoning_content");
        return String.valueOf(value);
    }

    @Test
    void aResultGoesBackToTheModel(Gateway gateway) throws Exception {
        serve(gateway, "tools-back", "mistral", "[TOOL_CALLS]", "[{\"name\": \"get_weather\", \"arguments\": {}}]");
        ChatCompletionMessage first = client(gateway)
                .chat()
                .completions()
                .create(chat("tools-back").build())
                .choices()
                .getFirst()
                .message();
        String id = first.toolCalls().orElseThrow().getFirst().asFunction().id();
        assertThat(id).matches("[a-z0-9]{9}");
        assertThat(first.content()).isEmpty();
        client(gateway)
                .chat()
                .completions()
                .create(chat("tools-back")
                        .addMessage(first)
                        .addMessage(ChatCompletionToolMessageParam.builder()
                                .toolCallId(id)
                                .content("18 degrees")
                                .build())
                        .build());
        ChatInput sent = gateway.cluster()
                .await(record -> record.getSubmit().getModel().equals("tools-back")
                        && record.getSubmit().getChat().getMessagesJson().contains("18 degrees"))
                .getSubmit()
                .getChat();
        assertThat(sent.getToolUse().getFormat()).isEqualTo("mistral");
        assertThat(sent.getMessagesJson()).contains("\"tool_call_id\":\"" + id + "\"");
    }

    @Test
    void noToolsNoCalls(Gateway gateway) throws Exception {
        serve(gateway, "tools-none", "hermes", TWO_CALLS);
        for (String fields :
                List.of("", ",\"tools\":[],\"include_reasoning\":false", TOOL + ",\"tool_choice\":\"none\"")) {
            JsonNode message = message(gateway, "tools-none", fields);
            assertThat(message.path("content").stringValue()).startsWith("I look.\n<tool_call>");
            assertThat(message.has("tool_calls")).isFalse();
            assertThat(message.has("reasoning_content")).isEqualTo(!fields.contains("false"));
        }
        JsonNode one = message(gateway, "tools-none", TOOL + ",\"parallel_tool_calls\":false");
        assertThat(one.path("tool_calls")).hasSize(1);
    }

    private static final String TOOL =
            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}},{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}]";

    private static JsonNode message(Gateway gateway, String model, String fields) throws Exception {
        String body = gateway.post(
                        CHAT,
                        "{\"model\":\"" + model + "\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" + fields
                                + "}")
                .body();
        return new JsonMapper().readTree(body).path("choices").path(0).path("message");
    }

    @Test
    void choicesNameFunctions(Gateway gateway) throws Exception {
        serve(gateway, "tools-chosen", "llama3_json", "{\"name\": \"get_time\", ", "\"parameters\": {}}");
        String named = ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}";
        assertThat(message(gateway, "tools-chosen", TOOL + named).path("tool_calls"))
                .hasSize(1);
        ChatInput sent = gateway.cluster()
                .await(record -> record.getSubmit().getModel().equals("tools-chosen"))
                .getSubmit()
                .getChat();
        assertThat(sent.getToolUse().getRequired()).isTrue();
        assertThat(sent.getToolUse().getFunctionsList()).containsExactly("get_time");
        assertThat(sent.getToolsJson()).contains("get_weather");
        String allowed =
                ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}}]}}";
        assertThat(message(gateway, "tools-chosen", TOOL + allowed)
                        .path("content")
                        .stringValue())
                .isEqualTo("{\"name\": \"get_time\", \"parameters\": {}}");
    }

    private static ResponseCreateParams.Builder response(String model) {
        return ResponseCreateParams.builder()
                .model(model)
                .addTool(FunctionTool.builder()
                        .name("get_weather")
                        .strict(false)
                        .parameters(FunctionTool.Parameters.builder()
                                .putAdditionalProperty("type", JsonValue.from("object"))
                                .build())
                        .build())
                .addTool(FunctionTool.builder()
                        .name("get_time")
                        .strict(false)
                        .parameters(FunctionTool.Parameters.builder()
                                .putAdditionalProperty("type", JsonValue.from("object"))
                                .build())
                        .build());
    }

    private static void check(Response response) {
        assertThat(response.status()).hasValue(ResponseStatus.COMPLETED);
        assertThat(response.output()).hasSize(4);
        assertThat(response.output()
                        .get(0)
                        .asReasoning()
                        .content()
                        .orElseThrow()
                        .getFirst()
                        .text())
                .isEqualTo("Two cities.");
        assertThat(response.output()
                        .get(1)
                        .asMessage()
                        .content()
                        .getFirst()
                        .asOutputText()
                        .text())
                .isEqualTo("I look.");
        assertThat(response.output().get(2).asFunctionCall().name()).isEqualTo("get_weather");
        assertThat(response.output().get(2).asFunctionCall().arguments()).isEqualTo("{\"city\": \"Paris\"}");
        assertThat(response.output().get(3).asFunctionCall().arguments()).isEqualTo("{}");
    }

    @Test
    void responsesHaveItemsForReasoningTextAndCalls(Gateway gateway) {
        serve(gateway, "tools-items", "hermes", TWO_CALLS);
        OpenAIClient client = client(gateway);
        Response whole = client.responses()
                .create(response("tools-items").input("Weather?").build());
        whole.validate();
        check(whole);

        var accumulator = ResponseAccumulator.create();
        List<ResponseStreamEvent> events = new ArrayList<>();
        try (StreamResponse<ResponseStreamEvent> stream = client.responses()
                .createStreaming(response("tools-items").input("Weather?").build())) {
            stream.stream().peek(ResponseStreamEvent::validate).forEach(event -> {
                events.add(event);
                accumulator.accumulate(event);
            });
        }
        check(accumulator.response());
        assertThat(events.stream().filter(ResponseStreamEvent::isOutputItemAdded))
                .hasSize(4);
        assertThat(events.stream().filter(ResponseStreamEvent::isOutputItemDone))
                .hasSize(4);
        String arguments = events.stream()
                .flatMap(event -> event.functionCallArgumentsDelta().stream())
                .filter(delta -> delta.outputIndex() == 2)
                .map(ResponseFunctionCallArgumentsDeltaEvent::delta)
                .collect(Collectors.joining());
        assertThat(arguments).isEqualTo("{\"city\": \"Paris\"}");
        assertThat(events.stream().flatMap(event -> event.reasoningTextDelta().stream()))
                .isNotEmpty();
    }

    @Test
    void resultsAreInputItems(Gateway gateway) throws Exception {
        serve(gateway, "tools-inputs", "hermes", "Fine.");
        String call =
                "{\"type\":\"function_call\",\"call_id\":\"c%1$d\",\"name\":\"get_weather\",\"arguments\":\"{}\"}";
        String result = "{\"type\":\"function_call_output\",\"call_id\":\"c%1$d\",\"output\":\"18 degrees\"}";
        String thought =
                "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}]}";
        String items = "{\"role\":\"user\",\"content\":\"x\"}," + thought + "," + call.formatted(1) + ","
                + call.formatted(2) + "," + result.formatted(2) + "," + result.formatted(1);
        String body = responses(gateway, items);
        assertThat(body).contains("\"status\":\"completed\"");
        String messages = gateway.cluster()
                .await(record -> record.getSubmit().getModel().equals("tools-inputs"))
                .getSubmit()
                .getChat()
                .getMessagesJson();
        JsonNode sent = new JsonMapper().readTree(messages);
        assertThat(sent).hasSize(4);
        assertThat(sent.path(1).path("tool_calls")).hasSize(2);
        assertThat(sent.path(1).path("reasoning_content").stringValue()).isEqualTo("hm");
        assertThat(sent.path(2).path("tool_call_id").stringValue()).isEqualTo("c2");

        assertThat(responses(gateway, call.formatted(1))).contains("\"param\":\"input\"");
        assertThat(responses(gateway, result.formatted(1))).contains("\"param\":\"input[0].call_id\"");
        assertThat(responses(gateway, call.formatted(1) + ",{\"role\":\"user\",\"content\":\"x\"}"))
                .contains("\"param\":\"input[1]\"");
        assertThat(responses(gateway, call.formatted(1) + "," + call.formatted(1)))
                .contains("\"param\":\"input[1].call_id\"");
        assertThat(responses(gateway, "{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"web_search\"}"))
                .contains("\"param\":\"tools[0].type\"");
    }

    private static String responses(Gateway gateway, String items) throws Exception {
        return gateway.post("/v1/responses", "{\"model\":\"tools-inputs\",\"input\":[" + items + "]}")
                .body();
    }
}
