package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** What the prompt becomes. */
class PromptEffectsTest extends ParameterEffects {

    @Test
    void promptsOfEveryFormAreOneCall() throws Exception {
        String bare = ",\"add_special_tokens\":false";
        String one = text("\"prompt\":\"#q\"" + bare);
        String ids = ids("#q");
        assertThat(text("\"prompt\":" + ids)).isEqualTo(one);
        JsonNode batch = answer(TEXT, "\"prompt\":[" + ids + ",[" + id('r') + "]],\"n\":2")
                .get("choices");
        assertThat(batch.valueStream().map(c -> c.get("index").asInt())).containsExactly(0, 1, 2, 3);
        assertThat(batch.valueStream().map(ParameterEffects::content).toList())
                .startsWith(one, one)
                .endsWith(text("\"prompt\":[" + id('r') + "]"), text("\"prompt\":[" + id('r') + "]"));
        assertThat(answer(TEXT, "\"prompt\":[\"#q\",\"x\"]" + bare)
                        .get("choices")
                        .get(0)
                        .get("text")
                        .asString())
                .isEqualTo(one);
        assertThat(error(TEXT, "\"prompt\":[[1],[320]]", 400).get("param").asString())
                .isEqualTo("prompt[1]");
    }

    @Test
    void aPromptIsCutToItsLastTokens() throws Exception {
        String ids = ids("#abcdefgh");
        JsonNode cut = answer(TEXT, "\"prompt\":" + ids + ",\"truncate_prompt_tokens\":3");
        assertThat(cut.get("usage").get("prompt_tokens").asInt()).isEqualTo(3);
        assertThat(content(cut.get("choices").get(0)))
                .isEqualTo(text("\"prompt\":[" + id('f') + "," + id('g') + "," + id('h') + "]"));
        String tooLong = "\"prompt\":\"" + "#a".repeat(CONTEXT) + "\"";
        assertThat(error(TEXT, tooLong, 400).get("code").asString()).isEqualTo("context_length_exceeded");
        assertThat(usage(TEXT, tooLong + ",\"truncate_prompt_tokens\":-1")
                        .get("total_tokens")
                        .asInt())
                .isEqualTo(CONTEXT);
        String many = "\"prompt\":"
                + IntStream.range(0, CONTEXT + 9).mapToObj(i -> id('a')).toList();
        assertThat(usage(TEXT, many + ",\"truncate_prompt_tokens\":7")
                        .get("prompt_tokens")
                        .asInt())
                .isEqualTo(7);
        assertThat(error(TEXT, many, 400).get("code").asString()).isEqualTo("context_length_exceeded");
        assertThat(usage(CHAT, "\"truncate_prompt_tokens\":4")
                        .get("prompt_tokens")
                        .asInt())
                .isEqualTo(4);
    }

    @Test
    void theTemplateGetsItsVariables() throws Exception {
        assertThat(prompt("\"reasoning_effort\":\"high\"")).contains("effort=high");
        assertThat(prompt("\"documents\":[{\"text\":\"one\"},{\"text\":\"two\"}]"))
                .contains("doc=one", "doc=two");
        assertThat(prompt("\"chat_template_kwargs\":{\"mood\":\"fine\"}")).contains("mood=fine");
        assertThat(prompt("\"top_k\":0"))
                .doesNotContain("mood", "effort", "doc=")
                .endsWith("assistant\n");
        assertThat(prompt("\"add_generation_prompt\":false")).endsWith("Hello<|im_end|>\n");
        assertThat(prompt("\"messages\":[{\"role\":\"assistant\",\"content\":\"So\"}],\"continue_final_message\":true"))
                .endsWith("So");
        assertThat(inputTokens("\"reasoning\":{\"effort\":\"high\"}")).isGreaterThan(inputTokens("\"top_k\":0"));
        assertThat(inputTokens("\"chat_template_kwargs\":{\"mood\":\"fine\"}"))
                .isGreaterThan(inputTokens("\"top_k\":0"));
        JsonNode raised = error(CHAT, "\"chat_template_kwargs\":{\"mood\":\"raise\"}", 400);
        assertThat(raised.get("code").asString()).isEqualTo("chat_template_error");
        assertThat(raised.get("param").asString()).isEqualTo("messages");
        assertThat(raised.get("message").asString()).contains("not in this mood");
    }

    @Test
    void partsAreJoinedAndADeveloperIsTheSystemWhereTheTemplateKnowsNeither() throws Exception {
        String rendered = prompt(
                "\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":["
                        + "{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\"two\"}]}]");
        assertThat(rendered).contains("system\nbe brief<|im_end|>").contains("user\none\ntwo<|im_end|>");
        JsonNode image = error(
                CHAT,
                "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,\"}}]}]",
                400);
        assertThat(image.get("param").asString()).isEqualTo("messages[0].content[0]");
    }

    @Test
    void specialTokensAreAddedToAPromptOnRequest() throws Exception {
        assertThat(text("\"add_special_tokens\":true")).isEqualTo(text(""));
        int bare =
                usage(TEXT, "\"add_special_tokens\":false").get("prompt_tokens").asInt();
        int chat = usage(CHAT, "").get("prompt_tokens").asInt();
        assertThat(usage(TEXT, "").get("prompt_tokens").asInt()).isGreaterThan(bare);
        assertThat(usage(CHAT, "\"add_special_tokens\":true")
                        .get("prompt_tokens")
                        .asInt())
                .isGreaterThan(chat);
        assertThat(usage(CHAT, "\"add_special_tokens\":false")
                        .get("prompt_tokens")
                        .asInt())
                .isEqualTo(chat);
    }

    @Test
    void cachedTokensAreRealAndASaltOfOnesOwnSharesNothing() throws Exception {
        String prompt = "\"prompt\":\"" + "#m#n".repeat(24) + "\"";
        assertThat(cached(prompt + ",\"cache_salt\":\"s\"")).isZero();
        assertThat(cached(prompt + ",\"cache_salt\":\"s\"")).isGreaterThanOrEqualTo(64);
        assertThat(cached(prompt + ",\"cache_salt\":\"t\"")).isZero();
    }

    /** The prompt that a chat became, but for its first token. */
    private static String prompt(String fields) throws Exception {
        StringBuilder text = new StringBuilder();
        for (JsonNode token :
                answer(CHAT, fields + ",\"prompt_logprobs\":0,\"max_tokens\":1").get("prompt_logprobs")) {
            token.properties()
                    .forEach(e -> text.append(e.getValue().get("decoded_token").asString()));
        }
        return text.toString();
    }

    /** Ids of a text without special tokens, as a JSON array. */
    private static String ids(String text) throws Exception {
        List<String> ids = new ArrayList<>();
        JsonNode scored = scoredPrompt("\"prompt\":\"z" + text + "\",\"add_special_tokens\":false");
        scored.valueStream()
                .filter(JsonNode::isObject)
                .forEach(token -> ids.add(token.properties().iterator().next().getKey()));
        return ids.toString();
    }

    private static int cached(String fields) throws Exception {
        return usage(TEXT, fields)
                .get("prompt_tokens_details")
                .get("cached_tokens")
                .asInt();
    }

    private static int inputTokens(String fields) throws Exception {
        return responseObject(fields + ",\"max_output_tokens\":1")
                .at("/usage/input_tokens")
                .asInt();
    }
}
