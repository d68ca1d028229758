package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** What the next token is chosen from. */
class SamplingEffectsTest extends ParameterEffects {

    @Test
    void theSeedDecidesWhereThereIsATemperature() throws Exception {
        assertThat(text("\"seed\":1")).isEqualTo(text("\"seed\":2"));
        String one = text("\"seed\":1,\"temperature\":1.5");
        assertThat(text("\"seed\":1,\"temperature\":1.5")).isEqualTo(one);
        assertThat(text("\"seed\":2,\"temperature\":1.5")).isNotEqualTo(one).isNotEqualTo(text(""));
        String chat = chat("\"seed\":1,\"temperature\":1.5");
        assertThat(chat("\"seed\":1,\"temperature\":1.5")).isEqualTo(chat);
        assertThat(chat("\"seed\":2,\"temperature\":1.5")).isNotEqualTo(chat);
    }

    @Test
    void filtersThatLeaveOneTokenAreGreedy() throws Exception {
        for (String filter : List.of("\"top_k\":1", "\"top_p\":0.0001", "\"min_p\":1")) {
            assertThat(text(filter + ",\"temperature\":2,\"seed\":3"))
                    .as(filter)
                    .isEqualTo(text(""));
            assertThat(chat(filter + ",\"temperature\":2,\"seed\":3"))
                    .as(filter)
                    .isEqualTo(chat(""));
        }
        // The one token nearest to the entropy, which need not be the best.
        String typical = text("\"typical_p\":0.000001,\"temperature\":2,\"seed\":3");
        assertThat(text("\"typical_p\":0.000001,\"temperature\":2,\"seed\":4")).isEqualTo(typical);
        assertThat(text("\"temperature\":2,\"seed\":4")).isNotEqualTo(text("\"temperature\":2,\"seed\":3"));
    }

    @Test
    void penaltiesSpreadTheTokens() throws Exception {
        String few = only("abcdefgh") + ",\"max_tokens\":40";
        String plain = text(few);
        assertThat(plain).matches("[a-h]{40}");
        assertThat(highest(text(few + ",\"frequency_penalty\":2"))).isLessThan(highest(plain));
        assertThat(text(few + ",\"presence_penalty\":2")).isNotEqualTo(plain);
        assertThat(text(few + ",\"repetition_penalty\":5")).isNotEqualTo(plain);
        assertThat(chat(few + ",\"frequency_penalty\":2")).isNotEqualTo(chat(few));
        assertThat(chat(few + ",\"presence_penalty\":2")).isNotEqualTo(chat(few));
        assertThat(chat(few + ",\"repetition_penalty\":5")).isNotEqualTo(chat(few));
    }

    @Test
    void aBiasIsAddedAndOnlyAllowedTokensCome() throws Exception {
        assertThat(text(bias('z', 100))).isEqualTo("z".repeat(24));
        assertThat(chat(bias('z', 100))).isEqualTo("z".repeat(24));
        assertThat(text(only("xyz"))).matches("[xyz]{24}");
        assertThat(chat(only("xyz"))).matches("[xyz]{24}");
        assertThat(text(only("xyz") + ",\"temperature\":2,\"seed\":5,\"guided_regex\":\"[wx]{4}\""))
                .isEqualTo("xxxx");
        assertThat(error(TEXT, "\"allowed_token_ids\":[320]", 400).get("param").asString())
                .isEqualTo("allowed_token_ids");
        assertThat(error(CHAT, "\"logit_bias\":{\"320\":1}", 400).get("param").asString())
                .isEqualTo("logit_bias");
    }

    @Test
    void badWordsAreNeverWritten() throws Exception {
        String few = only("abcdefgh") + ",\"max_tokens\":40";
        String plain = text(few);
        String pair = plain.substring(10, 12);
        String without = text(few + ",\"bad_words\":[\"" + pair + "\"]");
        assertThat(without).doesNotContain(pair).matches("[a-h]{40}");
        assertThat(without.substring(0, plain.indexOf(pair) + 1))
                .isEqualTo(plain.substring(0, plain.indexOf(pair) + 1));
        String single = plain.substring(0, 1);
        assertThat(chat(few + ",\"bad_words\":[\" " + single + "\"]")).doesNotContain(single);
    }

    @Test
    void nothingLeftToChooseIsTheClientsError() throws Exception {
        String field = "\"min_tokens\":3,\"allowed_token_ids\":[" + id('a') + "],\"stop_token_ids\":[" + id('a') + "]";
        JsonNode error = error(TEXT, field, 400);
        assertThat(error.get("code").asString()).isEqualTo("MR-SAMPLING-002");
        assertThat(error.get("param").asString()).isEqualTo("allowed_token_ids");
        String forbidden = ",\"guided_regex\":\"[uvw]{4}\"";
        assertThat(error(TEXT, only("xyz") + forbidden, 400).get("param").asString())
                .isEqualTo("allowed_token_ids");
        assertThat(error(CHAT, field, 400).get("type").asString()).isEqualTo("invalid_request_error");
    }

    @Test
    void responsesAreSampledAsChatsAre() throws Exception {
        assertThat(response(bias('z', 100) + ",\"max_output_tokens\":5")).isEqualTo("zzzzz");
        assertThat(response(only("xyz") + ",\"max_output_tokens\":5")).matches("[xyz]{5}");
        String seeded = "\"temperature\":1.5,\"seed\":8,\"max_output_tokens\":9";
        assertThat(response(seeded)).isEqualTo(response(seeded));
        assertThat(response("\"top_p\":0.0001,\"temperature\":1.5,\"max_output_tokens\":9"))
                .isEqualTo(response("\"temperature\":0,\"max_output_tokens\":9"));
        HttpResponse<String> tooMany = system.post(
                "/v1/responses",
                "{\"model\":\"tiny\",\"input\":\"Hello\",\"max_output_tokens\":" + (CONTEXT + 1) + "}");
        assertThat(JSON.readTree(tooMany.body()).get("error").get("param").asString())
                .isEqualTo("max_output_tokens");
        HttpResponse<String> tooLong =
                system.post("/v1/responses", "{\"model\":\"tiny\",\"input\":\"" + "#a".repeat(CONTEXT) + "\"}");
        assertThat(JSON.readTree(tooLong.body()).get("error").get("param").asString())
                .isEqualTo("input");
    }

    /** Plain ones, and ones with a grammar, choices, log probabilities, stops, penalties, bad words. */
    @Test
    void thirtyTwoOfManyKindsAnswerTogetherAsEachAlone() throws Exception {
        List<String> kinds = List.of(
                "\"temperature\":1",
                "\"guided_regex\":\"[a-f]{3,9}\"",
                "\"n\":3,\"temperature\":1.3,\"top_p\":0.9",
                "\"logprobs\":2,\"prompt_logprobs\":1",
                only("abcdef") + ",\"bad_words\":[\"ab\",\"c\"],\"temperature\":0.8",
                "\"min_tokens\":9,\"stop\":[\"a\",\"e\"],\"typical_p\":0.7,\"temperature\":1",
                "\"best_of\":4,\"n\":2,\"temperature\":1",
                "\"repetition_penalty\":1.4,\"frequency_penalty\":0.5,\"min_p\":0.02,\"temperature\":1");
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<JsonNode>> together = new ArrayList<>();
            for (int i = 0; i < 32; i++) {
                String fields = kinds.get(i % 8) + ",\"seed\":" + i + ",\"prompt\":\"no " + i + "\"";
                together.add(threads.submit(() -> answer(TEXT, fields).get("choices")));
            }
            for (int i = 0; i < 32; i++) {
                String fields = kinds.get(i % 8) + ",\"seed\":" + i + ",\"prompt\":\"no " + i + "\"";
                assertThat(together.get(i).get())
                        .as(fields)
                        .isEqualTo(answer(TEXT, fields).get("choices"));
            }
        }
    }

    private static String bias(char letter, int by) {
        return "\"logit_bias\":{\"" + id(letter) + "\":" + by + "}";
    }

    /** How often the most frequent character comes. */
    private static long highest(String text) {
        return text.chars()
                .mapToLong(c -> text.chars().filter(d -> d == c).count())
                .max()
                .orElseThrow();
    }

    private static String response(String fields) throws Exception {
        return responseObject(fields).at("/output/0/content/0/text").asString();
    }
}
