package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.ToolUse;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Calls, reasoning and schemas in Anthropic's Messages; the worker is a script. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class MessageToolsTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String TOOLS =
            ",\"tools\":[{\"name\":\"get_weather\",\"input_schema\":{\"type\":\"object\"}},{\"type\":\"custom\",\"name\":\"get_time\",\"input_schema\":{\"type\":\"object\"},\"strict\":true}]";

    private static HttpResponse<String> post(Gateway gateway, String model, String more) throws Exception {
        return gateway.post(
                "/v1/messages",
                "{\"model\":\"" + model + "\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
                        + more.replace('\'', '"') + "}");
    }

    private static JsonNode message(Gateway gateway, String model, String more) throws Exception {
        HttpResponse<String> response = post(gateway, model, more);
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return JSON.readTree(response.body());
    }

    private static Submit submitted(Gateway gateway, JsonNode message) throws Exception {
        String id = message.path("id").asString().substring(4);
        return gateway.cluster().await(request -> request.getId().equals(id)).getSubmit();
    }

    /** Blocks as the events of a stream put them together. */
    private static List<JsonNode> blocks(List<JsonNode> events) {
        List<JsonNode> started = new ArrayList<>();
        List<StringBuilder> texts = new ArrayList<>();
        for (JsonNode event : events) {
            int index = event.path("index").asInt();
            JsonNode delta = event.path("delta");
            switch (event.path("type").asString()) {
                case "content_block_start" -> {
                    assertThat(index).isEqualTo(started.size());
                    started.add(event.path("content_block"));
                    texts.add(new StringBuilder());
                }
                case "content_block_delta" ->
                    texts.get(index)
                            .append(delta.path("text").asString(""))
                            .append(delta.path("thinking").asString(""))
                            .append(delta.path("partial_json").asString(""));
                default -> {}
            }
        }
        List<JsonNode> blocks = new ArrayList<>();
        for (int i = 0; i < started.size(); i++) {
            JsonNode block = started.get(i);
            String text = texts.get(i).toString();
            String type = block.path("type").asString();
            Map<String, Object> whole = new TreeMap<>();
            block.properties().forEach(each -> whole.put(each.getKey(), each.getValue()));
            switch (type) {
                case "tool_use" -> whole.put("input", JSON.readTree(text));
                case "text" -> {
                    whole.put("text", text);
                    whole.put("citations", JSON.nullNode());
                }
                default -> whole.put(type, text);
            }
            blocks.add(JSON.valueToTree(whole));
        }
        return blocks;
    }

    private static List<JsonNode> events(String body) {
        return body.lines()
                .filter(line -> line.startsWith("data: "))
                .map(line -> JSON.readTree(line.substring(6)))
                .toList();
    }

    @Test
    void thoughtsTextAndCallsAreBlocks(Gateway gateway) throws Exception {
        ToolsTest.serve(gateway, "blocks", "hermes", ToolsTest.TWO_CALLS);

        JsonNode message = message(gateway, "blocks", TOOLS);

        JsonNode content = message.path("content");
        assertThat(anyIds(content))
                .isEqualTo(JSON.readTree(("[{'type':'thinking','thinking':'Two cities.','signature':''},"
                                + "{'type':'text','text':'I look.','citations':null},"
                                + "{'type':'tool_use','id':'ID','name':'get_weather','caller':{'type':'direct'},'input':{'city':'Paris'}},"
                                + "{'type':'tool_use','id':'ID','name':'get_time','caller':{'type':'direct'},'input':{}}]")
                        .replace('\'', '"')));
        assertThat(content.path(2).path("id")).isNotEqualTo(content.path(3).path("id"));
        assertThat(message.path("stop_reason").asString()).isEqualTo("tool_use");

        List<JsonNode> events =
                events(post(gateway, "blocks", TOOLS + ",'stream':true").body());
        assertThat(events.getLast().path("type").asString()).isEqualTo("message_stop");
        assertThat(events.stream()
                        .filter(event -> event.path("type").asString().equals("message_delta"))
                        .map(event -> event.path("delta").path("stop_reason").asString()))
                .containsExactly("tool_use");
        assertThat(events.stream().map(event -> event.path("delta").path("type").asString("")))
                .contains("thinking_delta", "signature_delta", "text_delta", "input_json_delta");
        assertThat(events.stream().filter(event -> event.path("type").asString().equals("content_block_stop")))
                .hasSize(4);
        assertThat(anyIds(JSON.valueToTree(blocks(events)))).isEqualTo(anyIds(content));
    }

    private static JsonNode anyIds(JsonNode content) {
        return JSON.readTree(content.toString().replaceAll("call_[0-9a-f]{24}", "ID"));
    }

    @Test
    void thoughtsAreLeftOutWhereTheyAreDisabled(Gateway gateway) throws Exception {
        ToolsTest.serve(gateway, "thoughtless", "hermes", ToolsTest.TWO_CALLS);
        String disabled = ",'thinking':{'type':'disabled'}" + TOOLS;

        assertThat(message(gateway, "thoughtless", disabled).path("content"))
                .extracting(block -> block.path("type").asString())
                .containsExactly("text", "tool_use", "tool_use");
        assertThat(post(gateway, "thoughtless", disabled + ",'stream':true").body())
                .contains("tool_use")
                .doesNotContain("thinking");
    }

    @Test
    void argumentsThatAreCutAreTextInTheInput(Gateway gateway) throws Exception {
        ToolsTest.serve(
                gateway, "cut", "hermes", "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"zone\": \"CE");

        JsonNode block = message(gateway, "cut", TOOLS).path("content").path(0);

        assertThat(block.path("input")).isEqualTo(JSON.readTree("{\"arguments\":\"{\\\"zone\\\": \\\"CE\"}"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "''|false|false|get_weather get_time",
                ",'tool_choice':{'type':'auto'}|false|false|get_weather get_time",
                ",'tool_choice':{'type':'auto','disable_parallel_tool_use':true}|false|true|get_weather get_time",
                ",'tool_choice':{'type':'any'}|true|false|get_weather get_time",
                ",'tool_choice':{'type':'tool','name':'get_time','disable_parallel_tool_use':true}|true|true|get_time",
            },
            quoteCharacter = '`')
    void whichToolIsCalledIsChosen(String choice, boolean required, boolean single, String names, Gateway gateway)
            throws Exception {
        String more = TOOLS + (choice.equals("''") ? "" : choice);

        Submit submit = submitted(gateway, message(gateway, "echo", more));

        ToolUse use = submit.getChat().getToolUse();
        assertThat(use.getRequired()).isEqualTo(required);
        assertThat(use.getSingle()).isEqualTo(single);
        assertThat(use.getFunctionsList()).containsExactly(names.split(" "));
        assertThat(JSON.readTree(submit.getChat().getToolsJson()))
                .isEqualTo(JSON.readTree(
                        "[{'type':'function','function':{'name':'get_weather','parameters':{'type':'object'}}},{'type':'function','function':{'name':'get_time','parameters':{'type':'object'},'strict':true}}]"
                                .replace('\'', '"')));
    }

    @Test
    void noneOfTheToolsIsShownWhereNoneIsChosen(Gateway gateway) throws Exception {
        Submit submit = submitted(gateway, message(gateway, "echo", TOOLS + ",'tool_choice':{'type':'none'}"));

        assertThat(submit.getChat().hasToolUse()).isFalse();
        assertThat(submit.getChat().getToolsJson()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                ",'output_config':{'effort':'low','format':{'type':'json_schema','schema':{'b':1, 'a':2}}}|output_config.format.schema",
                ",'output_format':{'type':'json_schema','schema':{'b':1, 'a':2}}|output_format.schema",
                ",'structured_outputs':{'json':{'b':1, 'a':2}}|structured_outputs.json",
            },
            quoteCharacter = '`')
    void aSchemaBindsTheMessage(String more, String param, Gateway gateway) throws Exception {
        OutputGrammar grammar =
                submitted(gateway, message(gateway, "echo", more)).getSampling().getGrammar();

        assertThat(grammar.getJsonSchema()).isEqualTo("{\"b\":1, \"a\":2}");
        assertThat(grammar.getParam()).isEqualTo(param);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'tool_choice':{'type':'any'}|tool_choice",
                "'tool_choice':{'name':'f'}|tool_choice.type",
                "'tool_choice':{'type':'required'}|tool_choice.type",
                "'tool_choice':{'type':'auto','disable_parallel_tool_use':1}|tool_choice.disable_parallel_tool_use",
                "'tools':[{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':'tool'}|tool_choice.name",
                "'tools':[{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':'tool','name':'g'}|tool_choice.name",
                "'tools':[{'name':'f','input_schema':{'type':'array'}}]|tools[0].input_schema",
                "'tools':[{'name':'f g','input_schema':{'type':'object'}}]|tools[0].name",
                "'tools':[{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':'any'},'output_config':{'format':{'type':'json_schema','schema':{}}}|tool_choice",
                "'output_config':[]|output_config",
                "'output_config':{'effort':'huge'}|output_config.effort",
                "'output_config':{'format':{'schema':{}}}|output_config.format.type",
                "'output_config':{'format':{'type':'regex'}}|output_config.format.type",
                "'output_config':{'format':{'type':'json_schema'}}|output_config.format.schema",
                "'output_config':{'format':{'type':'json_schema','schema':3}}|output_config.format.schema",
                "'output_config':{'format':{'type':'json_schema','schema':{}}},'output_format':{'type':'json_schema','schema':{}}|output_format.schema",
                "'response_format':{'type':'json_object'}|output_config.format",
            },
            quoteCharacter = '`')
    void whatIsWrongIsNamed(String more, String place, Gateway gateway) throws Exception {
        HttpResponse<String> response = post(gateway, "echo", "," + more);

        assertThat(response.statusCode()).as(response.body()).isEqualTo(400);
        assertThat(response.body()).contains("'" + place + "'");
    }
}
