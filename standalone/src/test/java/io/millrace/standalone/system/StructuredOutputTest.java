package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.errors.BadRequestException;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.StructuredChatCompletionCreateParams;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.StructuredResponseCreateParams;
import io.swagger.v3.oas.annotations.media.Schema;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Outputs bound by schemas and grammars, as clients ask for them, from a mock model that says anything it may. */
@ExtendWith(SharedSystem.class)
@SuppressWarnings("NullAway.Init") // set by start()
class StructuredOutputTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final JsonMapper JSON = new JsonMapper();

    private static SystemUnderTest system;
    private static OpenAIClient client;

    enum Colour {
        RED,
        GREEN,
        BLUE
    }

    @SuppressWarnings({"PublicField", "NullAway.Init"}) // as the client's documentation does it
    static class Car {
        public Colour colour;

        @Schema(minimum = "2", maximum = "5")
        public int doors;

        public boolean electric;
        public List<Colour> stripes;
    }

    @BeforeAll
    static void start(SystemUnderTest shared) {
        system = shared;
        client = system.client();
    }

    @AfterAll
    static void stop() {
        if (client != null) {
            client.close();
        }
    }

    @Test
    void theOfficialClientGetsItsOwnClassBack() {
        StructuredChatCompletionCreateParams<Car> chat = ChatCompletionCreateParams.builder()
                .model("alpha")
                .addUserMessage("a car")
                .n(3)
                .responseFormat(Car.class)
                .build();
        List<Car> cars = client.chat().completions().create(chat).choices().stream()
                .map(choice -> choice.message().content().orElseThrow())
                .toList();
        assertThat(cars).hasSize(3).allSatisfy(car -> assertThat(car.doors).isBetween(2, 5));

        StructuredResponseCreateParams<Car> response = ResponseCreateParams.builder()
                .model("alpha")
                .input("a car")
                .text(Car.class)
                .build();
        Car car = client.responses().create(response).output().stream()
                .flatMap(item -> item.message().stream())
                .flatMap(message -> message.content().stream())
                .flatMap(content -> content.outputText().stream())
                .findFirst()
                .orElseThrow();
        assertThat(car.stripes).isNotNull();
    }

    @Test
    void everyWayToAskIsTaken() throws Exception {
        String schema =
                "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"enum\":[1.50,null]}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false}";
        for (String field : List.of(
                "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"strict\":true,\"schema\":"
                        + schema + "}}",
                "\"guided_json\":" + schema,
                "\"guided_json\":" + JSON.writeValueAsString(schema),
                "\"structured_outputs\":{\"json\":" + schema + "}")) {
            JsonNode answer = JSON.readTree(chat(field));
            assertThat(answer.path("a").isIntegralNumber()).as(field).isTrue();
            assertThat(answer.has("b")).as(field).isTrue();
        }
        assertThat(chat("\"structured_outputs\":{\"json\":" + schema + ",\"disable_any_whitespace\":true}"))
                .matches("\\{\"a\":-?\\d+,\"b\":(1\\.5|null)}");
        assertThat(chat("\"guided_regex\":\"[ab]{3}-\\\\d\"")).matches("[ab]{3}-\\d");
        assertThat(chat("\"guided_choice\":[\"yes\",\"no\"]")).isIn("yes", "no");
        assertThat(chat("\"structured_outputs\":{\"choice\":[\"yes\",\"no\"]}")).isIn("yes", "no");
        assertThat(chat("\"guided_grammar\":\"root ::= \\\"(\\\" root \\\")\\\" | \\\"x\\\"\""))
                .matches("\\(*x\\)*");
        String text = chat("\"response_format\":{\"type\":\"json_object\"},\"max_tokens\":400", "length", "stop");
        assertThat(text).startsWith("{");
    }

    @Test
    void completionsAndStreamsAreBoundToo() throws Exception {
        HttpResponse<String> whole = system.post(
                "/v1/completions", "{\"model\":\"alpha\",\"prompt\":[\"a\",\"b\"],\"guided_regex\":\"x{2,5}y\"}");
        assertThat(whole.statusCode()).as(whole.body()).isEqualTo(200);
        for (JsonNode choice : JSON.readTree(whole.body()).path("choices")) {
            assertThat(choice.path("text").stringValue()).matches("x{2,5}y");
            assertThat(choice.path("finish_reason").stringValue()).isEqualTo("stop");
        }
        HttpResponse<String> stream = system.post(CHAT, body("\"stream\":true,\"guided_choice\":[\"Mühle\"]"));
        StringBuilder text = new StringBuilder();
        stream.body().lines().filter(line -> line.startsWith("data: {")).forEach(line -> {
            for (JsonNode choice : JSON.readTree(line.substring(6)).path("choices")) {
                text.append(choice.path("delta").path("content").asString(""));
            }
        });
        assertThat(text.toString()).isEqualTo("Mühle");
    }

    @Test
    void whatCannotBeHonouredIs400WithTheKeywordBeforeAnyToken() throws Exception {
        Map<String, List<String>> bad = Map.of(
                "\"guided_json\":{\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}",
                List.of("guided_json", "unsupported_schema", "#/properties/a/uniqueItems"),
                "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":\"strng\"}}}",
                List.of("response_format.json_schema.schema", "invalid_schema", "#/type"),
                "\"guided_json\":{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}",
                List.of("guided_json", "unsatisfiable_schema", "contradict"),
                "\"structured_outputs\":{\"json\":{\"maxLength\":999999}}",
                List.of("structured_outputs.json", "schema_too_large", "#/maxLength"),
                "\"guided_regex\":\"(a|b)*a(a|b){40}\"",
                List.of("guided_regex", "regex_too_large", "states"),
                "\"guided_regex\":\"(?=a)b\"",
                List.of("guided_regex", "unsupported_regex", "look-around"),
                "\"guided_grammar\":\"root ::= root \\\"a\\\" | \\\"b\\\"\"",
                List.of("guided_grammar", "unsupported_grammar", "left recursion"),
                "\"guided_grammar\":\"nonsense\"",
                List.of("guided_grammar", "invalid_grammar", "line 1"),
                "\"stream\":true,\"guided_regex\":\"(\"",
                List.of("guided_regex", "invalid_regex", "character 1"));
        for (Map.Entry<String, List<String>> each : bad.entrySet()) {
            HttpResponse<String> answer = system.post(CHAT, body(each.getKey()));
            assertThat(answer.statusCode()).as(each.getKey() + answer.body()).isEqualTo(400);
            JsonNode error = JSON.readTree(answer.body()).path("error");
            assertThat(error.path("param").asString(""))
                    .isEqualTo(each.getValue().get(0));
            assertThat(error.path("code").asString(""))
                    .isEqualTo(each.getValue().get(1));
            assertThat(error.path("message").asString(""))
                    .contains(each.getValue().get(2));
        }
        assertThatThrownBy(() -> client.chat()
                        .completions()
                        .create(ChatCompletionCreateParams.builder()
                                .model("alpha")
                                .addUserMessage("x")
                                .putAdditionalBodyProperty("guided_regex", com.openai.core.JsonValue.from("["))
                                .build()))
                .isInstanceOf(BadRequestException.class);
    }

    private static String body(String field) {
        return "{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"go\"}]," + field + "}";
    }

    private static String chat(String field) throws Exception {
        return chat(field, "stop");
    }

    private static String chat(String field, String... finishReasons) throws Exception {
        HttpResponse<String> answer = system.post(CHAT, body(field));
        assertThat(answer.statusCode()).as(field + answer.body()).isEqualTo(200);
        JsonNode choice = JSON.readTree(answer.body()).path("choices").path(0);
        assertThat(choice.path("finish_reason").stringValue()).isIn((Object[]) finishReasons);
        return choice.path("message").path("content").stringValue();
    }
}
