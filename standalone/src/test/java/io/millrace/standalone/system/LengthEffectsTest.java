package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** Where an answer ends. */
class LengthEffectsTest extends ParameterEffects {

    @Test
    void theLengthIsThatWantedOrTheRestOfTheContext() throws Exception {
        assertThat(usage(TEXT, "\"max_tokens\":5").get("completion_tokens").asInt())
                .isEqualTo(5);
        assertThat(usage(TEXT, "\"max_tokens\":null").get("completion_tokens").asInt())
                .isEqualTo(16);
        assertThat(usage(CHAT, "\"max_tokens\":5").get("completion_tokens").asInt())
                .isEqualTo(5);
        JsonNode preferred = answer(CHAT, "\"max_tokens\":9,\"max_completion_tokens\":4");
        assertThat(preferred.get("usage").get("completion_tokens").asInt()).isEqualTo(4);
        assertThat(preferred.get("choices").get(0).get("finish_reason").asString())
                .isEqualTo("length");
        JsonNode rest = answer(CHAT, "\"max_tokens\":null");
        assertThat(rest.get("usage").get("total_tokens").asInt()).isEqualTo(CONTEXT);
        assertThat(rest.get("choices").get(0).get("finish_reason").asString()).isEqualTo("length");
        JsonNode full = answer(TEXT, "\"max_tokens\":" + CONTEXT);
        assertThat(full.get("usage").get("total_tokens").asInt()).isEqualTo(CONTEXT);
        assertThat(full.get("choices").get(0).get("finish_reason").asString()).isEqualTo("length");
        assertThat(error(TEXT, "\"max_tokens\":" + (CONTEXT + 1), 400)
                        .get("code")
                        .asString())
                .isEqualTo("context_length_exceeded");
    }

    @Test
    void stopsEndAnAnswerAndMinTokensHoldsThemOff() throws Exception {
        String few = only("abcdefgh") + ",\"max_tokens\":30";
        for (String path : List.of(TEXT, CHAT)) {
            String plain = content(choice(path, few));
            String stop = plain.substring(3, 5);
            int at = plain.indexOf(stop);
            JsonNode stopped = choice(path, few + ",\"stop\":[\"never\",\"" + stop + "\"]");
            assertThat(content(stopped)).isEqualTo(plain.substring(0, at));
            assertThat(stopped.get("finish_reason").asString()).isEqualTo("stop");
            assertThat(stopped.get("stop_reason").asString()).isEqualTo(stop);
            assertThat(content(choice(path, few + ",\"include_stop_str_in_output\":true,\"stop\":\"" + stop + "\"")))
                    .isEqualTo(plain.substring(0, at + 2));
            assertThat(content(choice(path, few + ",\"min_tokens\":20,\"stop\":\"" + stop + "\""))
                            .length())
                    .isGreaterThanOrEqualTo(20);
            char last = plain.charAt(0);
            JsonNode byId = choice(path, few + ",\"stop_token_ids\":[" + id(last) + "]");
            assertThat(content(byId)).isEmpty();
            assertThat(byId.get("stop_reason").isInt()).isTrue();
            assertThat(byId.get("stop_reason").asInt()).isEqualTo(id(last));
            String later = content(choice(path, few + ",\"min_tokens\":6,\"stop_token_ids\":[" + id(last) + "]"));
            assertThat(later.length()).isGreaterThanOrEqualTo(6);
            assertThat(later.substring(0, 6)).doesNotContain(String.valueOf(last));
        }
    }

    @Test
    void theModelsOwnEndCountsUnlessItIsIgnored() throws Exception {
        String eager = "\"logit_bias\":{\"" + control("<|im_end|>") + "\":100}";
        for (String path : List.of(TEXT, CHAT)) {
            JsonNode ended = answer(path, eager + ",\"ignore_eos\":false");
            assertThat(ended.get("usage").get("completion_tokens").asInt()).isEqualTo(1);
            assertThat(ended.get("choices").get(0).get("finish_reason").asString())
                    .isEqualTo("stop");
            assertThat(usage(path, eager + ",\"ignore_eos\":false,\"min_tokens\":7")
                            .get("completion_tokens")
                            .asInt())
                    .isEqualTo(8);
            JsonNode ignored = answer(path, eager);
            assertThat(ignored.get("usage").get("completion_tokens").asInt()).isEqualTo(24);
            assertThat(ignored.get("choices").get(0).get("finish_reason").asString())
                    .isEqualTo("length");
        }
    }
}
