package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.json.JsonMapper;

/** What is answered, streamed and not, is what the document of the API says. */
@ExtendWith(SharedSystem.class)
@Timeout(60)
@SuppressWarnings("NullAway.Init") // set by start()
class AnswerSchemasTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String SAMPLED = "\"model\":\"tiny\",\"ignore_eos\":true,\"seed\":1,";
    private static final String MESSAGES = "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private static final String SCHEMA =
            "{\"type\":\"object\",\"properties\":{\"on\":{\"type\":\"boolean\"}},\"required\":[\"on\"],"
                    + "\"additionalProperties\":false}";
    private static final String CHAT_TOOLS =
            ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"tools\":[{\"type\":\"function\","
                    + "\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":" + SCHEMA + "}}]";

    private static SystemUnderTest system;
    private static AnswerSchemas schemas;

    @BeforeAll
    static void start(SystemUnderTest shared) throws Exception {
        system = shared;
        schemas = new AnswerSchemas(shared);
    }

    private static String post(String path, String fields) throws Exception {
        HttpResponse<String> response = system.post(path, "{" + fields + "}");
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        return response.body();
    }

    /** Whole, and in pieces; gives the whole one. */
    private static String both(String path, String fields, String streamed) throws Exception {
        String whole = post(path, fields);
        schemas.check("post", path, whole);
        schemas.checkEvents("post", path, post(path, fields + ",\"stream\":true" + streamed));
        return whole;
    }

    @Test
    void chatsAndCompletions() throws Exception {
        String usage = ",\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}";
        String chat = "/v1/chat/completions";
        both(chat, SAMPLED + MESSAGES + ",\"max_tokens\":5,\"n\":2,\"logprobs\":true,\"top_logprobs\":2", usage);
        both(chat, SAMPLED + MESSAGES + ",\"max_tokens\":5,\"prompt_logprobs\":2,\"service_tier\":\"flex\"", "");
        both(chat, "\"model\":\"alpha\",\"max_tokens\":400," + MESSAGES + CHAT_TOOLS, usage);
        String completion = "/v1/completions";
        String prompts = "\"prompt\":[\"a\",\"b\"],\"max_tokens\":5,\"stop\":\"never\"";
        both(completion, SAMPLED + prompts + ",\"n\":2,\"logprobs\":2,\"echo\":true,\"prompt_logprobs\":1", usage);
        both(completion, SAMPLED + prompts, "");
        assertThat(schemas.unseen("ChatCompletion", "ChatCompletionChunk", "Completion", "Usage", "TokenLogprob"))
                .isEmpty();
    }

    @Test
    void responses() throws Exception {
        String path = "/v1/responses";
        String tools =
                ",\"tool_choice\":\"required\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"strict\":true,\"parameters\":"
                        + SCHEMA + "}]";
        String logprobs =
                ",\"top_logprobs\":2,\"include\":[\"message.output_text.logprobs\"],\"metadata\":{\"a\":\"b\"}";
        String whole = both(path, SAMPLED + "\"input\":\"Hi\",\"max_output_tokens\":16" + logprobs, "");
        both(
                path,
                "\"model\":\"alpha\",\"input\":\"Hi\",\"parallel_tool_calls\":false,\"max_output_tokens\":400" + tools,
                "");
        String id = JSON.readTree(whole).get("id").asString();
        String one = path + "/{id}";
        schemas.check("get", one, system.get(path + "/" + id).body());
        schemas.checkEvents(
                "get", one, system.get(path + "/" + id + "?stream=true").body());
        schemas.check(
                "get",
                one + "/input_items",
                system.get(path + "/" + id + "/input_items").body());
        String background =
                post(path, "\"model\":\"alpha\",\"ignore_eos\":true,\"background\":true,\"input\":\"long\"");
        schemas.check("post", path, background);
        schemas.check(
                "post",
                one + "/cancel",
                system.post(path + "/" + JSON.readTree(background).get("id").asString() + "/cancel", "")
                        .body());
        assertThat(schemas.unseen("Response", "ResponseEvent", "ContentPart", "ResponseUsage", "ItemList"))
                .isEmpty();
    }

    @Test
    void messages() throws Exception {
        String path = "/v1/messages";
        both(path, SAMPLED + MESSAGES + ",\"max_tokens\":5", "");
        both(
                path,
                "\"model\":\"alpha\",\"max_tokens\":400," + MESSAGES
                        + ",\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true},\"tools\":[{\"name\":\"f\",\"strict\":true,\"input_schema\":"
                        + SCHEMA + "}]",
                "");
        schemas.check("post", path + "/count_tokens", post(path + "/count_tokens", "\"model\":\"tiny\"," + MESSAGES));
        assertThat(schemas.unseen("Message", "MessageEvent", "ContentBlock", "MessageUsage", "TokenCount"))
                .isSubsetOf(
                        "Message.exact",
                        "MessageEvent.exact",
                        "MessageEvent.error",
                        "ContentBlock.thinking",
                        "ContentBlock.signature");
    }

    @Test
    void modelsTokensAndErrors() throws Exception {
        schemas.check("get", "/v1/models", system.get("/v1/models").body());
        schemas.check("get", "/v1/models/{id}", system.get("/v1/models/alpha").body());
        schemas.check(
                "post",
                "/tokenize",
                post("/tokenize", "\"model\":\"tiny\",\"prompt\":\"Hi\",\"return_token_strs\":true"));
        schemas.check("post", "/tokenize", post("/tokenize", "\"model\":\"tiny\",\"prompt\":\"Hi\""));
        schemas.check("post", "/detokenize", post("/detokenize", "\"model\":\"tiny\",\"tokens\":[5]"));
        schemas.checkError("Error", system.post("/v1/chat/completions", "{}").body());
        schemas.checkError("Error", system.get("/v1/nothing").body());
        schemas.checkError("AnthropicError", system.post("/v1/messages", "{}").body());
        assertThat(schemas.unseen("Model", "ModelList", "Tokens", "Detokenized", "Error", "AnthropicError"))
                .isSubsetOf("Error.error", "AnthropicError.type", "AnthropicError.error");
    }
}
