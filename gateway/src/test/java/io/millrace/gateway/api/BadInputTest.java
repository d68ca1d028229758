package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What is wrong with a request is said as OpenAI says it: status, field and code, before anything reaches the log. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class BadInputTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final String TEXT = "/v1/completions";
    private static final String MESSAGES = "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private final JsonMapper json = new JsonMapper();

    private record Bad(
            String path, String body, int status, @Nullable String param) {}

    private static final String CALL =
            "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}";
    private static final String RESULT = "{\"role\":\"tool\",\"content\":\"a\",\"tool_call_id\":\"c\"}";

    private static Bad tools(String function, String param) {
        return chat("\"tools\":[{\"type\":\"function\",\"function\":" + function + "}]", param);
    }

    private static Bad chosen(String choice, String param) {
        return chat(
                "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":" + choice, param);
    }

    private static Bad turns(String later, String param) {
        return messages("[{\"role\":\"user\",\"content\":\"x\"}," + later + "]", param);
    }

    private static Bad chat(String field, String param) {
        return new Bad(CHAT, "{\"model\":\"echo\"," + MESSAGES + "," + field + "}", 400, param);
    }

    private static Bad messages(String messages, String param) {
        return new Bad(CHAT, "{\"model\":\"echo\",\"messages\":" + messages + "}", 400, param);
    }

    private static Bad text(String fields, @Nullable String param) {
        return new Bad(TEXT, "{\"model\":\"echo\"," + fields + "}", 400, param);
    }

    private static List<Bad> bodies() {
        String deep = "[".repeat(200) + "]".repeat(200);
        return List.of(
                new Bad(CHAT, "", 400, null),
                new Bad(CHAT, "{", 400, null),
                new Bad(CHAT, "[]", 400, null),
                new Bad(CHAT, "\"x\"", 400, null),
                new Bad(CHAT, "{\"model\":\"echo\"," + MESSAGES + "} trailing", 400, null),
                new Bad(CHAT, "{'model':'echo'}", 400, null),
                new Bad(CHAT, "{\"model\":\"echo\",\"x\":" + deep + "," + MESSAGES + "}", 400, "x"),
                new Bad(CHAT, "{" + MESSAGES + "}", 400, "model"),
                new Bad(CHAT, "{\"model\":7," + MESSAGES + "}", 400, "model"),
                new Bad(CHAT, "{\"model\":\"nobody\"," + MESSAGES + "}", 404, "model"),
                new Bad(CHAT, "{\"model\":\"echo\"}", 400, "messages"),
                messages("[]", "messages"),
                messages("\"hi\"", "messages"),
                messages("[7]", "messages[0]"),
                messages("[{\"content\":\"x\"}]", "messages[0].role"),
                messages("[{\"role\":\"robot\",\"content\":\"x\"}]", "messages[0].role"),
                messages("[{\"role\":\"user\"}]", "messages[0].content"),
                messages("[{\"role\":\"user\",\"content\":5}]", "messages[0].content"),
                messages("[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]", "messages[0].content[0].type"),
                messages(
                        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}]",
                        "messages[0].content[1]"),
                messages(
                        "[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}]",
                        "messages[0].content[0]"),
                messages("[{\"role\":\"user\",\"content\":\"a\\ud800b\"}]", "messages[0].content"),
                messages("[{\"role\":\"user\",\"content\":\"\\udc00\\ud800\"}]", "messages[0].content"),
                chat("\"user\":\"\\udfff\"", "user"),
                chat("\"max_tokens\":0", "max_tokens"),
                text("\"prompt\":\"x\",\"max_tokens\":0", "max_tokens"),
                chat("\"prompt_logprobs\":-1", "prompt_logprobs"),
                text("\"prompt\":\"x\",\"prompt_logprobs\":21", "prompt_logprobs"),
                chat("\"max_tokens\":-1", "max_tokens"),
                chat("\"max_tokens\":1.5", "max_tokens"),
                chat("\"max_tokens\":\"9\"", "max_tokens"),
                chat("\"max_tokens\":99999999999", "max_tokens"),
                chat("\"max_tokens\":1000000", "max_tokens"),
                chat("\"max_completion_tokens\":true", "max_completion_tokens"),
                chat("\"min_tokens\":9,\"max_tokens\":3", "min_tokens"),
                chat("\"temperature\":-0.1", "temperature"),
                chat("\"temperature\":2.5", "temperature"),
                chat("\"temperature\":\"hot\"", "temperature"),
                chat("\"temperature\":1e999", "temperature"),
                chat("\"temperature\":" + "9".repeat(400), "temperature"),
                new Bad(CHAT, "{\"model\":\"echo\"," + MESSAGES + ",\"temperature\":NaN}", 400, "temperature"),
                new Bad(CHAT, "{\"model\":\"echo\"," + MESSAGES + ",\"temperature\":-Infinity}", 400, "temperature"),
                chat("\"logit_bias\":{\"1\":NaN}", "logit_bias.1"),
                messages("[{\"role\":\"user\",\"content\":\"x\"},{\"role\":user}]", "messages[1].role"),
                chat("\"seed\":" + "9".repeat(10_000), "seed"),
                chat("\"seed\":9223372036854775808", "seed"),
                chat("\"top_p\":1.1", "top_p"),
                chat("\"top_k\":-2", "top_k"),
                chat("\"min_p\":2", "min_p"),
                chat("\"typical_p\":0", "typical_p"),
                chat("\"presence_penalty\":3", "presence_penalty"),
                chat("\"frequency_penalty\":-2.1", "frequency_penalty"),
                chat("\"repetition_penalty\":0", "repetition_penalty"),
                chat("\"n\":0", "n"),
                chat("\"n\":129", "n"),
                chat("\"n\":2,\"best_of\":3", "best_of"),
                chat("\"seed\":1e40", "seed"),
                chat("\"stop\":\"\"", "stop"),
                chat("\"stop\":[1]", "stop[0]"),
                chat("\"stop\":[" + "\"x\",".repeat(64) + "\"x\"]", "stop"),
                chat("\"stop_token_ids\":[-1]", "stop_token_ids[0]"),
                chat("\"logit_bias\":{\"x\":1}", "logit_bias"),
                chat("\"logit_bias\":{\"1\":101}", "logit_bias.1"),
                chat("\"logit_bias\":[]", "logit_bias"),
                chat("\"logprobs\":1", "logprobs"),
                chat("\"top_logprobs\":1", "top_logprobs"),
                chat("\"logprobs\":true,\"top_logprobs\":21", "top_logprobs"),
                chat("\"stream\":\"yes\"", "stream"),
                chat("\"stream_options\":{\"include_usage\":true}", "stream_options"),
                chat("\"stream\":true,\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage"),
                chat("\"response_format\":\"json\"", "response_format"),
                chat("\"response_format\":{}", "response_format.type"),
                chat("\"response_format\":{\"type\":\"xml\"}", "response_format.type"),
                chat("\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema"),
                chat(
                        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}",
                        "response_format.json_schema.name"),
                chat(
                        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a b\",\"schema\":{}}}",
                        "response_format.json_schema.name"),
                chat(
                        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\"}}",
                        "response_format.json_schema.schema"),
                chat(
                        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":[]}}",
                        "response_format.json_schema.schema"),
                chat("\"guided_json\":5", "guided_json"),
                chat("\"guided_regex\":\"\"", "guided_regex"),
                chat("\"guided_regex\":[\"a\"]", "guided_regex"),
                chat("\"guided_choice\":[]", "guided_choice"),
                chat("\"guided_choice\":[\"a\",\"\"]", "guided_choice[1]"),
                chat("\"guided_choice\":[1]", "guided_choice[0]"),
                chat("\"guided_json\":{},\"guided_regex\":\"a\"", "guided_regex"),
                chat("\"guided_json\":{},\"response_format\":{\"type\":\"json_object\"}", "guided_json"),
                chat("\"structured_outputs\":{\"json\":{},\"regex\":\"a\"}", "structured_outputs.regex"),
                chat("\"structured_outputs\":{\"yaml\":{}}", "structured_outputs"),
                chat("\"structured_outputs\":{\"structural_tag\":\"a\"}", "structured_outputs.structural_tag"),
                text("\"prompt\":\"a\",\"guided_grammar\":\"" + "x".repeat((1 << 20) + 1) + "\"", "guided_grammar"),
                new Bad(
                        "/v1/responses",
                        "{\"model\":\"echo\",\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"a\"}}}",
                        400,
                        "text.format.schema"),
                new Bad(
                        "/v1/responses",
                        "{\"model\":\"echo\",\"input\":\"a\",\"response_format\":{\"type\":\"json_object\"}}",
                        400,
                        "response_format"),
                chat("\"tools\":{}", "tools"),
                chat("\"tools\":[7]", "tools[0]"),
                chat("\"tools\":[{\"function\":{\"name\":\"f\"}}]", "tools[0].type"),
                chat("\"tools\":[{\"type\":\"retrieval\"}]", "tools[0].type"),
                chat("\"tools\":[{\"type\":\"function\"}]", "tools[0].function"),
                chat("\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools[0].function.name"),
                tools("{\"name\":\"a b\"}", "tools[0].function.name"),
                tools("{\"name\":\"" + "x".repeat(65) + "\"}", "tools[0].function.name"),
                tools("{\"name\":\"f\",\"strict\":1}", "tools[0].function.strict"),
                tools("{\"name\":\"f\",\"parameters\":[]}", "tools[0].function.parameters"),
                tools("{\"name\":\"f\",\"parameters\":{\"type\":\"array\"}}", "tools[0].function.parameters"),
                chat(
                        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
                        "tools[1].function.name"),
                chat(
                        "\"tools\":[" + "{\"type\":\"function\",\"function\":{\"name\":\"f\"}},".repeat(999)
                                + "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
                        "tools"),
                chat("\"tool_choice\":\"required\"", "tool_choice"),
                chat("\"tool_choice\":\"any\"", "tool_choice"),
                chosen("7", "tool_choice"),
                chosen("{\"type\":\"function\"}", "tool_choice.function"),
                chosen("{\"type\":\"function\",\"function\":{\"name\":\"g\"}}", "tool_choice.function.name"),
                chosen("{\"type\":\"allowed_tools\"}", "tool_choice.allowed_tools"),
                chosen(
                        "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[]}}",
                        "tool_choice.allowed_tools.tools"),
                chosen("\"required\",\"guided_json\":{}", "tool_choice"),
                chosen(
                        "\"required\",\"response_format\":{\"type\":\"json_object\"},\"guided_regex\":\"a\"",
                        "guided_regex"),
                chosen("\"auto\",\"parallel_tool_calls\":\"no\"", "parallel_tool_calls"),
                chat("\"functions\":[]", "functions"),
                turns("{\"role\":\"tool\",\"content\":\"a\"}", "messages[1].tool_call_id"),
                turns("{\"role\":\"tool\",\"content\":\"a\",\"tool_call_id\":\"c\"}", "messages[1].tool_call_id"),
                turns(CALL, "messages[1]"),
                turns(CALL + ",{\"role\":\"user\",\"content\":\"x\"}", "messages[1]"),
                turns(CALL + "," + RESULT + "," + RESULT, "messages[3].tool_call_id"),
                turns(
                        CALL + ",{\"role\":\"tool\",\"content\":\"a\",\"tool_call_id\":\"d\"}",
                        "messages[2].tool_call_id"),
                turns(CALL.replace("\"id\":\"c\",", ""), "messages[1].tool_calls[0].id"),
                turns(CALL.replace("\"{}\"", "{}"), "messages[1].tool_calls[0].function.arguments"),
                turns(CALL.replace("\"name\":\"f\",", ""), "messages[1].tool_calls[0].function.name"),
                turns(CALL.replace("assistant", "user").replace("null", "\"x\""), "messages[1].tool_calls"),
                chat("\"chat_template_kwargs\":[]", "chat_template_kwargs"),
                chat("\"chat_template\":\"{{ 1 }}\"", "chat_template"),
                chat("\"continue_final_message\":true,\"add_generation_prompt\":true", "continue_final_message"),
                text("\"max_tokens\":1", "prompt"),
                text("\"prompt\":[]", "prompt"),
                text("\"prompt\":5", "prompt"),
                text("\"prompt\":[1,\"a\"]", "prompt[1]"),
                text("\"prompt\":[\"a\",1]", "prompt[1]"),
                text("\"prompt\":[-1]", "prompt[0]"),
                text("\"prompt\":[[1],[]]", "prompt[1]"),
                text("\"prompt\":[" + "1,".repeat(2047) + "1]", "prompt"),
                text("\"prompt\":\"a\",\"logprobs\":true", "logprobs"),
                text("\"prompt\":\"a\",\"suffix\":\"b\"", "suffix"),
                new Bad("/v1/responses", "{\"model\":\"echo\"}", 400, "input"),
                new Bad(
                        "/v1/responses",
                        "{\"model\":\"echo\",\"input\":[{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[]}]}",
                        400,
                        "input"),
                new Bad("/v1/responses", "{\"model\":\"echo\",\"input\":[{\"type\":\"x\"}]}", 400, "input[0].type"),
                new Bad(
                        "/v1/responses",
                        "{\"model\":\"echo\",\"input\":\"a\",\"previous_response_id\":\"resp_1\"}",
                        400,
                        "previous_response_id"));
    }

    @TestFactory
    Stream<DynamicTest> aWrongBodyIsNamed(Gateway gateway) {
        return bodies().stream()
                .map(bad -> dynamicTest(
                        bad.status() + " " + bad.param() + " "
                                + bad.body()
                                        .substring(0, Math.min(90, bad.body().length())),
                        () -> check(gateway.post(bad.path(), bad.body()), bad.status(), bad.param())));
    }

    private void check(HttpResponse<String> response, int status, @Nullable String param) {
        assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
        assertThat(response.headers().firstValue("content-type")).hasValue("application/json");
        JsonNode error = json.readTree(response.body()).get("error");
        assertThat(error.get("param").isNull() ? null : error.get("param").asString())
                .isEqualTo(param);
        assertThat(error.get("code").asString()).isNotBlank();
        assertThat(error.get("type").asString()).isEqualTo("invalid_request_error");
        assertThat(error.get("message").asString())
                .isNotBlank()
                .doesNotContain("tools.jackson", "io.millrace", "\tat ", "ReadFeature", "StreamReadConstraints", "E18");
    }

    @Test
    void invalidUtf8IsNamedByItsPlace(Gateway gateway) throws Exception {
        byte[] body = ("{\"model\":\"echo\"," + MESSAGES.replace("Hi", "H?") + "}").getBytes(StandardCharsets.UTF_8);
        int place = new String(body, StandardCharsets.UTF_8).indexOf('?');
        body[place] = (byte) 0xc3;
        HttpResponse<String> response = gateway.http()
                .send(
                        HttpRequest.newBuilder(gateway.uri(CHAT))
                                .header("Content-Type", "application/json")
                                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                                .build(),
                        HttpResponse.BodyHandlers.ofString());
        check(response, 400, null);
        assertThat(response.body()).contains("invalid_utf8", "byte " + place);
    }

    @Test
    void wrongMethodPathAndTypeAreToldInTheSameShape(Gateway gateway) throws Exception {
        HttpResponse<String> method = gateway.get(CHAT);
        check(method, 405, null);
        assertThat(method.headers().firstValue("allow")).hasValue("POST");
        check(gateway.get("/v1/responses"), 405, null);
        check(gateway.post("/v1/models", "{}"), 405, null);
        check(gateway.get("/v1/nothing"), 404, null);
        check(gateway.get("/nothing"), 404, null);
        HttpResponse<String> type = gateway.http()
                .send(
                        HttpRequest.newBuilder(gateway.uri(CHAT))
                                .header("Content-Type", "text/plain")
                                .POST(HttpRequest.BodyPublishers.ofString("{}"))
                                .build(),
                        HttpResponse.BodyHandlers.ofString());
        check(type, 415, null);
    }

    @Test
    void tenMegabytesAreTooMany(Gateway gateway) throws Exception {
        String body = "{\"model\":\"echo\",\"prompt\":\"" + "x".repeat(10 * 1024 * 1024) + "\"}";
        check(gateway.post(TEXT, body), 413, null);
        try (var upgrading = HttpClient.newHttpClient()) {
            check(upgrading.send(gateway.request(TEXT, body).build(), HttpResponse.BodyHandlers.ofString()), 413, null);
        }
        assertThat(gateway.post(TEXT, "{\"model\":\"echo\",\"prompt\":\"" + "x".repeat(7 * 1024 * 1024) + "\"}")
                        .statusCode())
                .isEqualTo(200);
    }

    @Test
    void leniencyIsWhereClientsNeedIt(Gateway gateway) throws Exception {
        for (String field : List.of(
                "\"temperature\":null,\"stop\":null,\"tools\":null,\"user\":null",
                "\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]",
                "\"top_p\":0,\"top_k\":-1",
                "\"max_tokens\":5.0",
                "\"tool_choice\":\"auto\",\"parallel_tool_calls\":true,\"metadata\":{\"a\":\"b\"}",
                "\"response_format\":{\"type\":\"text\"},\"store\":true,\"service_tier\":\"flex\"")) {
            HttpResponse<String> response = gateway.post(CHAT, "{\"model\":\"echo\"," + MESSAGES + "," + field + "}");
            assertThat(response.statusCode()).as(field + response.body()).isEqualTo(200);
        }
        HttpResponse<String> roles = gateway.post(
                CHAT,
                "{\"model\":\"echo\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"developer\",\"content\":\"a\"},"
                        + "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}," + CALL + "," + RESULT + "]}");
        assertThat(roles.statusCode()).as(roles.body()).isEqualTo(200);
    }
}
