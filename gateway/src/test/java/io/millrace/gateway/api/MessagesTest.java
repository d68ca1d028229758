package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Journal;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Anthropic's Messages over real HTTP and a real broker; the worker is a script. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class MessagesTest {

    private static final String PATH = "/v1/messages";

    private final JsonMapper json = new JsonMapper();

    private static String body(String more) {
        return "{\"model\":\"echo\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" + more
                + "}";
    }

    private Submit submitted(Gateway gateway, HttpResponse<String> response) throws Exception {
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        String id = json.readTree(response.body()).path("id").asString().substring(4);
        RequestRecord record =
                gateway.cluster().await(request -> request.getId().equals(id));
        return record.getSubmit();
    }

    @Test
    void aMessageComesInAnthropicsForm(Gateway gateway) throws Exception {
        HttpResponse<String> response = gateway.post(PATH, body(",\"system\":\"Be brief\""));

        JsonNode message = json.readTree(response.body());
        assertThat(message.path("type").asString()).isEqualTo("message");
        assertThat(message.path("role").asString()).isEqualTo("assistant");
        assertThat(message.path("content").path(0).path("text").asString()).isEqualTo("Hello, \"wörld\" 🙂\n");
        assertThat(message.path("stop_reason").asString()).isEqualTo("end_turn");
        assertThat(message.path("usage"))
                .isEqualTo(
                        json.readTree(
                                "{\"input_tokens\":4,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":3,\"output_tokens\":4}"));
        assertThat(response.headers().firstValue("request-id")).isPresent();
    }

    @Test
    void theEventsOfAStreamAreThoseOfAnthropic(Gateway gateway) throws Exception {
        HttpResponse<String> response = gateway.post(PATH, body(",\"stream\":true"));

        List<String> types = response.body()
                .lines()
                .filter(line -> line.startsWith("event: "))
                .map(line -> line.substring(7))
                .toList();
        assertThat(types)
                .containsExactly(
                        "message_start",
                        "ping",
                        "content_block_start",
                        "content_block_delta",
                        "content_block_delta",
                        "content_block_delta",
                        "content_block_delta",
                        "content_block_stop",
                        "message_delta",
                        "message_stop");
        assertThat(response.body())
                .contains("\"delta\":{\"type\":\"text_delta\",\"text\":\" 🙂\\n\"}")
                .contains("\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}");
    }

    @ParameterizedTest
    @CsvSource({"length, '', max_tokens", "stop, '', end_turn", "stop, '###', stop_sequence"})
    void whyItEndedIsTold(String finish, String matched, String reason, Gateway gateway) throws Exception {
        String model = "ends-" + reason;
        gateway.serve(model, journal -> journal.admit().claim().token(0, "a").end(0, finish, "", matched));
        String body = body(",\"stop_sequences\":[\"###\"]").replace("echo", model);

        JsonNode message = json.readTree(gateway.post(PATH, body).body());

        assertThat(message.path("stop_reason").asString()).isEqualTo(reason);
        assertThat(message.path("stop_sequence").asString("")).isEqualTo(matched);
    }

    @Test
    void aConversationBecomesTheMessagesThatTemplatesKnow(Gateway gateway) throws Exception {
        Submit submit = submitted(gateway, gateway.post(PATH, """
                        {"model":"echo","max_tokens":5,"temperature":0.5,"top_k":3,"stop_sequences":["x"],
                         "system":[{"type":"text","text":"A","cache_control":{"type":"ephemeral"}},{"type":"text","text":"B"}],
                         "tools":[{"name":"weather","description":"d","input_schema":{"type":"object"}}],
                         "metadata":{"user_id":"u"},"thinking":{"type":"disabled"},
                         "messages":[
                          {"role":"user","content":[{"type":"text","text":"Weather?"}]},
                          {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
                            {"type":"text","text":"Wait."},
                            {"type":"tool_use","id":"t1","name":"weather","input":{"city":"Ulm","n":1}}]},
                          {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"rain"}]},
                            {"type":"text","text":"So?"}]}]}
                        """));

        assertThat(json.readTree(submit.getChat().getMessagesJson())).isEqualTo(json.readTree("""
                                [{"role":"system","content":"A\\nB"},{"role":"user","content":"Weather?"},
                                 {"role":"assistant","content":"Wait.","reasoning_content":"hm","tool_calls":[{"id":"t1","type":"function",
                                  "function":{"name":"weather","arguments":"{\\"city\\":\\"Ulm\\",\\"n\\":1}"}}]},
                                 {"role":"tool","tool_call_id":"t1","content":"rain"},{"role":"user","content":"So?"}]
                                """));
        assertThat(json.readTree(submit.getChat().getToolsJson()))
                .isEqualTo(
                        json.readTree(
                                "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}]"));
        assertThat(submit.getSampling().getTemperature()).isEqualTo(0.5);
        assertThat(submit.getSampling().getTopK()).isEqualTo(3);
        assertThat(submit.getSampling().getStopList()).containsExactly("x");
        assertThat(submit.getChat().getAddGenerationPrompt()).isTrue();
    }

    @Test
    void wordsOfTheAssistantAtTheEndAreContinued(Gateway gateway) throws Exception {
        Submit submit = submitted(
                gateway,
                gateway.post(
                        PATH,
                        "{\"model\":\"echo\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}"));

        assertThat(submit.getChat().getContinueFinalMessage()).isTrue();
        assertThat(submit.getChat().getAddGenerationPrompt()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{}|model",
                "{'model':'echo'}|messages",
                "{'model':'echo','messages':[{'role':'user','content':'x'}]}|max_tokens",
                "{'model':'echo','max_tokens':0,'messages':[{'role':'user','content':'x'}]}|max_tokens",
                "{'model':'echo','max_tokens':1,'messages':[]}|messages",
                "{'model':'echo','max_tokens':1,'messages':[1]}|messages[0]",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'tool','content':'x'}]}|messages[0].role",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user'}]}|messages[0].content",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':[{'type':'image','source':{}}]}]}|messages[0].content[0].type",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':[{'text':'x'}]}]}|messages[0].content[0].type",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':[{'type':'tool_result'}]}]}|messages[0].content[0].tool_use_id",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'assistant','content':[{'type':'tool_use','id':'a'}]}]}|messages[0].content[0].name",
                "{'model':'echo','max_tokens':1,'system':1,'messages':[{'role':'user','content':'x'}]}|system",
                "{'model':'echo','max_tokens':1,'stop_sequences':[''],'messages':[{'role':'user','content':'x'}]}|stop_sequences",
                "{'model':'echo','max_tokens':1,'tools':[{'name':'a'}],'messages':[{'role':'user','content':'x'}]}|tools[0].input_schema",
                "{'model':'echo','max_tokens':1,'tools':[{'type':'bash_20250124','name':'bash'}],'messages':[{'role':'user','content':'x'}]}|tools[0].type",
                "{'model':'echo','max_tokens':1,'thinking':{'type':'long'},'messages':[{'role':'user','content':'x'}]}|thinking.type",
                "{'model':'echo','max_tokens':1,'mcp_servers':[{}],'messages':[{'role':'user','content':'x'}]}|mcp_servers",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'user','content':[{'type':'tool_result','tool_use_id':'t'}]}]}|messages[1].content[0].tool_use_id",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]}]}|messages[1].content",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]},{'role':'user','content':'x'}]}|messages[1].content",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]}]}|messages[1].content",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'t'}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'t'}]}]}|messages[3].content[0].tool_use_id",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'u'}]}]}|messages[2].content[0].tool_use_id",
                "{'model':'echo','max_tokens':1,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[{'type':'tool_use','id':'t','name':'f','input':{}},{'type':'tool_use','id':'t','name':'f','input':{}}]}]}|messages[1].content[1].id",
                "{'model':'echo','max_tokens':1,'container':'c','messages':[{'role':'user','content':'x'}]}|container",
                "{'model':'echo','max_tokens':1,'temperature':'hot','messages':[{'role':'user','content':'x'}]}|temperature",
                "{'model':'echo','max_tokens':1,'metadata':[],'messages':[{'role':'user','content':'x'}]}|metadata",
            })
    void whatIsWrongIsNamedInAnthropicsShape(String body, String place, Gateway gateway) throws Exception {
        HttpResponse<String> response = gateway.post(PATH, body.replace('\'', '"'));

        assertThat(response.statusCode()).isEqualTo(400);
        JsonNode error = json.readTree(response.body());
        assertThat(error.path("type").asString()).isEqualTo("error");
        assertThat(error.path("error").path("type").asString()).isEqualTo("invalid_request_error");
        assertThat(error.path("error").path("message").asString()).contains("'" + place + "'");
    }

    @Test
    void errorsOfTheClusterComeInAnthropicsShape(Gateway gateway) throws Exception {
        gateway.serve("m-full", journal -> journal.reject(429, "queue_full", 1500))
                .serve(
                        "m-breaking",
                        journal -> journal.admit().claim().token(0, "a").fail(500, "broken"));

        HttpResponse<String> full = gateway.post(PATH, body("").replace("echo", "m-full"));
        assertThat(full.statusCode()).isEqualTo(429);
        assertThat(full.body()).contains("\"type\":\"rate_limit_error\"");
        assertThat(full.headers().firstValue("retry-after")).contains("2");
        assertThat(gateway.post(PATH, body("").replace("echo", "nobody")).body())
                .contains("\"type\":\"not_found_error\"");
        assertThat(gateway.post(PATH, body(",\"stream\":true").replace("echo", "m-breaking"))
                        .body())
                .contains("event: content_block_delta")
                .contains("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"");
    }

    @Test
    void tokensAreCountedByAWorkerOfTheModel(Gateway gateway) throws Exception {
        gateway.serve("m-count", MessagesTest::count);

        HttpResponse<String> response = gateway.post(
                PATH + "/count_tokens",
                "{\"model\":\"m-count\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
        assertThat(response.body()).isEqualTo("{\"input_tokens\":3}");
        JsonNode tokens = json.readTree(
                gateway.post("/tokenize", "{\"model\":\"m-count\",\"prompt\":\"Hi\",\"return_token_strs\":true}")
                        .body());
        assertThat(tokens)
                .isEqualTo(json.readTree(
                        "{\"count\":3,\"max_model_len\":512,\"tokens\":[1,2,3],\"token_strs\":[\"a\",\"b\",\"c\"]}"));
        assertThat(gateway.post("/detokenize", "{\"model\":\"m-count\",\"tokens\":[1]}")
                        .body())
                .isEqualTo("{\"prompt\":\"text\"}");
    }

    private static void count(Journal journal) {
        journal.admit()
                .claim()
                .tokenization(512, "a", "b")
                .tokenization(512, "c")
                .end(0, "stop", "");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "/tokenize|{'prompt':'x'}|model",
                "/tokenize|{'model':'echo'}|prompt",
                "/tokenize|{'model':'echo','prompt':1}|prompt",
                "/tokenize|{'model':'echo','prompt':'x','messages':[{'role':'user','content':'x'}]}|prompt",
                "/tokenize|{'model':'echo','messages':[{'role':'user'}]}|messages[0].content",
                "/tokenize|{'model':'echo','prompt':'x','add_special_tokens':'yes'}|add_special_tokens",
                "/detokenize|{'model':'echo'}|tokens",
                "/detokenize|{'model':'echo','tokens':'x'}|tokens",
                "/detokenize|{'model':'echo','tokens':[1,-1]}|tokens[1]",
            })
    void whatCannotBeTokenisedIsNamed(String path, String body, String param, Gateway gateway) throws Exception {
        HttpResponse<String> response = gateway.post(path, body.replace('\'', '"'));

        assertThat(response.statusCode()).isEqualTo(400);
        assertThat(json.readTree(response.body()).path("error").path("param").asString())
                .isEqualTo(param);
    }
}
