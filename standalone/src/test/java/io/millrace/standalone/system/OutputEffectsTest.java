package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** How many answers come, and what comes with them. */
class OutputEffectsTest extends ParameterEffects {

    @Test
    void specialTokensShowAndStandApartOnRequest() throws Exception {
        String end = "\"max_tokens\":3,\"logit_bias\":{\"" + control("<|im_end|>") + "\":100}";
        for (String path : List.of(TEXT, CHAT)) {
            assertThat(content(choice(path, end))).isEmpty();
            assertThat(content(choice(path, end + ",\"skip_special_tokens\":false")))
                    .isEqualTo("<|im_end|>".repeat(3));
            assertThat(content(choice(
                            path, end + ",\"skip_special_tokens\":false,\"spaces_between_special_tokens\":true")))
                    .isEqualTo("<|im_end|> <|im_end|> <|im_end|>");
        }
    }

    @Test
    void choicesAreCountedAndEachHasItsOwnRandomNumbers() throws Exception {
        for (String path : List.of(TEXT, CHAT)) {
            JsonNode answer = answer(path, "\"n\":3,\"temperature\":1,\"seed\":4,\"max_tokens\":8");
            assertThat(answer.get("choices")
                            .valueStream()
                            .map(c -> c.get("index").asInt()))
                    .containsExactly(0, 1, 2);
            assertThat(answer.get("choices").valueStream().map(ParameterEffects::content))
                    .doesNotHaveDuplicates();
            assertThat(answer.get("usage").get("completion_tokens").asInt()).isEqualTo(24);
        }
    }

    @Test
    void theBestOfSeveralAreThoseOfTheHighestMeanLogprob() throws Exception {
        String fields = "\"temperature\":1,\"seed\":4,\"max_tokens\":8,\"prompt\":[\"a\",\"b\"]";
        JsonNode all = answer(TEXT, fields + ",\"n\":5,\"logprobs\":0");
        JsonNode best = answer(TEXT, fields + ",\"n\":2,\"best_of\":5");
        List<String> expected = new ArrayList<>();
        for (int prompt = 0; prompt < 2; prompt++) {
            IntStream.range(prompt * 5, prompt * 5 + 5)
                    .mapToObj(i -> all.get("choices").get(i))
                    .sorted(Comparator.comparingDouble(OutputEffectsTest::mean).reversed())
                    .limit(2)
                    .forEach(choice -> expected.add(choice.get("text").asString()));
        }
        assertThat(best.get("choices").valueStream().map(ParameterEffects::content))
                .containsExactlyElementsOf(expected);
        assertThat(best.get("choices").valueStream().map(c -> c.get("index").asInt()))
                .containsExactly(0, 1, 2, 3);
        assertThat(best.get("choices").valueStream())
                .allMatch(c -> c.get("logprobs").isNull());
        assertThat(best.get("usage")).isEqualTo(all.get("usage"));
    }

    @Test
    void logprobsComeAsTheInterfaceHasThem() throws Exception {
        JsonNode text =
                choice(TEXT, only("ab") + ",\"max_tokens\":4,\"logprobs\":3").get("logprobs");
        assertThat(text.get("tokens").size()).isEqualTo(4);
        assertThat(text.get("top_logprobs").get(0).size()).isEqualTo(3);
        assertThat(text.get("text_offset").valueStream().map(JsonNode::asInt)).containsExactly(0, 1, 2, 3);
        JsonNode chat = choice(CHAT, only("ab") + ",\"max_tokens\":4,\"logprobs\":true,\"top_logprobs\":2")
                .get("logprobs")
                .get("content");
        assertThat(chat.size()).isEqualTo(4);
        assertThat(chat.get(0).get("token").asString()).isIn("a", "b");
        assertThat(chat.get(0).get("top_logprobs").size()).isEqualTo(2);
        assertThat(choice(CHAT, "\"logprobs\":true")
                        .get("logprobs")
                        .get("content")
                        .get(0)
                        .get("top_logprobs")
                        .size())
                .isZero();
        assertThat(choice(CHAT, "").get("logprobs").isNull()).isTrue();
    }

    @Test
    void thePromptIsScoredAndComesBack() throws Exception {
        JsonNode scored = scoredPrompt("\"prompt\":\"#abc\"");
        assertThat(scored.get(scored.size() - 1).has(Integer.toString(id('c')))).isTrue();
        assertThat(answer(CHAT, "\"prompt_logprobs\":2")
                        .get("prompt_logprobs")
                        .get(3)
                        .size())
                .isBetween(2, 3);
        assertThat(text("\"prompt\":\"a b\",\"echo\":true")).startsWith("a b").endsWith(text("\"prompt\":\"a b\""));
        JsonNode ids = choice(TEXT, "\"prompt\":[" + id('q') + "," + id('r') + "],\"echo\":true,\"logprobs\":1");
        assertThat(ids.get("text").asString()).startsWith("qr");
        assertThat(ids.get("logprobs").get("tokens").get(1).asString()).isEqualTo("r");
        String begun =
                "\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"So\"}],"
                        + "\"continue_final_message\":true";
        assertThat(chat(begun + ",\"echo\":true")).isEqualTo("So" + chat(begun));
    }

    @Test
    void usageComesAtTheEndOfAStreamOrAllAlong() throws Exception {
        for (String path : List.of(TEXT, CHAT)) {
            assertThat(events(path, "\"max_tokens\":6")).noneMatch(event -> event.has("usage"));
            List<JsonNode> atEnd = events(path, "\"max_tokens\":6,\"stream_options\":{\"include_usage\":true}");
            assertThat(atEnd.getLast().get("usage").get("completion_tokens").asInt())
                    .isEqualTo(6);
            assertThat(atEnd.getLast().get("choices").isEmpty()).isTrue();
            assertThat(atEnd.getFirst().get("usage").isNull()).isTrue();
            List<JsonNode> allAlong = events(
                    path,
                    "\"max_tokens\":6,\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}");
            List<Integer> counts = allAlong.stream()
                    .map(event -> event.get("usage").get("completion_tokens").asInt())
                    .toList();
            assertThat(counts).isSorted().contains(1, 3, 6);
        }
    }

    private static List<JsonNode> events(String path, String fields) throws Exception {
        HttpResponse<String> answer = send(path, "\"stream\":true," + fields);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return answer.body()
                .lines()
                .filter(line -> line.startsWith("data: {"))
                .map(line -> JSON.readTree(line.substring(6)))
                .toList();
    }

    private static double mean(JsonNode choice) {
        return choice.get("logprobs")
                .get("token_logprobs")
                .valueStream()
                .mapToDouble(JsonNode::asDouble)
                .average()
                .orElseThrow();
    }
}
