package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.models.ReasoningEffort;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.completions.Completion;
import com.openai.models.completions.CompletionCreateParams;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** What each parameter does to the answers of a real, if tiny, model, from the HTTP body to the sampler and back. */
@ExtendWith(SharedSystem.class)
@SuppressWarnings("NullAway.Init") // set by start()
class ParameterEffectsTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final String TEXT = "/v1/completions";
    private static final int CONTEXT = SharedSystem.TINY_CONTEXT;
    private static final JsonMapper JSON = new JsonMapper();

    private static SystemUnderTest system;

    /** Ids of the letters a to z. */
    private static Map<String, Integer> letters;

    @BeforeAll
    static void start(SystemUnderTest shared) throws Exception {
        system = shared;
        letters = new HashMap<>();
        for (JsonNode token : scoredPrompt("\"prompt\":\"#a#b#c#d#e#f#g#h#i#j#k#l#m#n#o#p#q#r#s#t#u#v#w#x#y#z\"")) {
            if (token.isObject()) {
                Map.Entry<String, JsonNode> only = token.properties().iterator().next();
                letters.put(only.getValue().get("decoded_token").asString(), Integer.parseInt(only.getKey()));
            }
        }
    }

    // The bodies.

    private static ObjectNode body(String base, String fields) {
        ObjectNode body = (ObjectNode) JSON.readTree(base);
        ((ObjectNode) JSON.readTree("{" + fields + "}")).properties().forEach(e -> body.set(e.getKey(), e.getValue()));
        return body;
    }

    private static HttpResponse<String> send(String path, String fields) throws Exception {
        String base = path.equals(TEXT)
                ? "{\"model\":\"tiny\",\"prompt\":\"Hello\",\"max_tokens\":24,\"temperature\":0,\"ignore_eos\":true}"
                : "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"max_tokens\":24,\"temperature\":0,"
                        + "\"ignore_eos\":true}";
        return system.post(path, JSON.writeValueAsString(body(base, fields)));
    }

    private static JsonNode answer(String path, String fields) throws Exception {
        HttpResponse<String> answer = send(path, fields);
        assertThat(answer.statusCode()).as(fields + answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body());
    }

    private static JsonNode choice(String path, String fields) throws Exception {
        return answer(path, fields).get("choices").get(0);
    }

    private static String text(String fields) throws Exception {
        return choice(TEXT, fields).get("text").asString();
    }

    private static String chat(String fields) throws Exception {
        return choice(CHAT, fields).get("message").get("content").asString();
    }

    private static JsonNode usage(String path, String fields) throws Exception {
        return answer(path, fields).get("usage");
    }

    private static JsonNode error(String path, String fields, int status) throws Exception {
        HttpResponse<String> answer = send(path, fields);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(status);
        return JSON.readTree(answer.body()).get("error");
    }

    private static JsonNode scoredPrompt(String fields) throws Exception {
        return choice(TEXT, fields + ",\"prompt_logprobs\":0,\"max_tokens\":1").get("prompt_logprobs");
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

    private static List<JsonNode> events(String path, String fields) throws Exception {
        HttpResponse<String> answer = send(path, "\"stream\":true," + fields);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return answer.body()
                .lines()
                .filter(line -> line.startsWith("data: {"))
                .map(line -> JSON.readTree(line.substring(6)))
                .toList();
    }

    /** Only these letters may come. */
    private static String only(String chars) {
        return "\"allowed_token_ids\":"
                + chars.chars().mapToObj(c -> id((char) c)).toList();
    }

    private static int id(char letter) {
        Integer id = letters.get(String.valueOf(letter));
        assertThat(id).as("the id of " + letter).isNotNull();
        return id;
    }

    private static String bias(char letter, int by) {
        return "\"logit_bias\":{\"" + id(letter) + "\":" + by + "}";
    }

    // What the next token is chosen from.

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

    /** How often the most frequent character comes. */
    private static long highest(String text) {
        return text.chars()
                .mapToLong(c -> text.chars().filter(d -> d == c).count())
                .max()
                .orElseThrow();
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

    // Where an answer ends.

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

    private static String content(JsonNode choice) {
        return choice.has("text")
                ? choice.get("text").asString()
                : choice.get("message").get("content").asString();
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

    private static int control(String token) throws Exception {
        JsonNode scored = scoredPrompt("\"prompt\":\"#" + token + "\"");
        return Integer.parseInt(
                scored.get(scored.size() - 1).properties().iterator().next().getKey());
    }

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

    // How many answers, and what comes with them.

    @Test
    void choicesAreCountedAndEachHasItsOwnRandomNumbers() throws Exception {
        for (String path : List.of(TEXT, CHAT)) {
            JsonNode answer = answer(path, "\"n\":3,\"temperature\":1,\"seed\":4,\"max_tokens\":8");
            assertThat(answer.get("choices")
                            .valueStream()
                            .map(c -> c.get("index").asInt()))
                    .containsExactly(0, 1, 2);
            assertThat(answer.get("choices").valueStream().map(ParameterEffectsTest::content))
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
                    .sorted(Comparator.comparingDouble(ParameterEffectsTest::mean)
                            .reversed())
                    .limit(2)
                    .forEach(choice -> expected.add(choice.get("text").asString()));
        }
        assertThat(best.get("choices").valueStream().map(ParameterEffectsTest::content))
                .containsExactlyElementsOf(expected);
        assertThat(best.get("choices").valueStream().map(c -> c.get("index").asInt()))
                .containsExactly(0, 1, 2, 3);
        assertThat(best.get("choices").valueStream())
                .allMatch(c -> c.get("logprobs").isNull());
        assertThat(best.get("usage")).isEqualTo(all.get("usage"));
    }

    private static double mean(JsonNode choice) {
        return choice.get("logprobs")
                .get("token_logprobs")
                .valueStream()
                .mapToDouble(JsonNode::asDouble)
                .average()
                .orElseThrow();
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
    void promptsOfEveryFormAreOneCall() throws Exception {
        String bare = ",\"add_special_tokens\":false";
        String one = text("\"prompt\":\"#q\"" + bare);
        String ids = ids("#q");
        assertThat(text("\"prompt\":" + ids)).isEqualTo(one);
        JsonNode batch = answer(TEXT, "\"prompt\":[" + ids + ",[" + id('r') + "]],\"n\":2")
                .get("choices");
        assertThat(batch.valueStream().map(c -> c.get("index").asInt())).containsExactly(0, 1, 2, 3);
        assertThat(batch.valueStream().map(ParameterEffectsTest::content).toList())
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

    /** Ids of a text without special tokens, as a JSON array. */
    private static String ids(String text) throws Exception {
        List<String> ids = new ArrayList<>();
        JsonNode scored = scoredPrompt("\"prompt\":\"z" + text + "\",\"add_special_tokens\":false");
        scored.valueStream()
                .filter(JsonNode::isObject)
                .forEach(token -> ids.add(token.properties().iterator().next().getKey()));
        return ids.toString();
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

    // What a chat's prompt becomes.

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

    // Streams, usage and caches.

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

    @Test
    void cachedTokensAreRealAndASaltOfOnesOwnSharesNothing() throws Exception {
        String prompt = "\"prompt\":\"" + "#m#n".repeat(24) + "\"";
        assertThat(cached(prompt + ",\"cache_salt\":\"s\"")).isZero();
        assertThat(cached(prompt + ",\"cache_salt\":\"s\"")).isGreaterThanOrEqualTo(64);
        assertThat(cached(prompt + ",\"cache_salt\":\"t\"")).isZero();
    }

    private static int cached(String fields) throws Exception {
        return usage(TEXT, fields)
                .get("prompt_tokens_details")
                .get("cached_tokens")
                .asInt();
    }

    @Test
    void namesForBookkeepingChangeNothingAndTheFingerprintIsTheNumerics() throws Exception {
        String noted =
                "\"user\":\"u\",\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":\"24h\","
                        + "\"metadata\":{\"a\":\"b\"},\"service_tier\":\"default\",\"verbosity\":\"low\",\"modalities\":[\"text\"]";
        JsonNode answer = answer(CHAT, noted);
        assertThat(content(answer.get("choices").get(0))).isEqualTo(chat(""));
        assertThat(answer.get("system_fingerprint").asString()).isNotBlank();
        assertThat(answer(TEXT, "").get("system_fingerprint")).isEqualTo(answer.get("system_fingerprint"));
    }

    @Test
    void whatIsNotDoneIsRefusedByItsName() throws Exception {
        for (String field : List.of(
                "\"audio\":{}",
                "\"web_search_options\":{}",
                "\"functions\":[]",
                "\"function_call\":\"auto\"",
                "\"chat_template\":\"x\"",
                "\"use_beam_search\":true",
                "\"logits_processors\":[]",
                "\"best_of\":2")) {
            String name = field.substring(1, field.indexOf('"', 1));
            assertThat(error(CHAT, field, 400).get("param").asString()).isEqualTo(name);
        }
        assertThat(error(TEXT, "\"suffix\":\"x\"", 400).get("param").asString()).isEqualTo("suffix");
        assertThat(error(TEXT, "\"best_of\":100", 400).get("param").asString()).isEqualTo("best_of");
    }

    @Test
    void theOfficialClientUnderstandsEveryForm() {
        OpenAIClient client = system.client();
        try {
            Completion text = client.completions()
                    .create(CompletionCreateParams.builder()
                            .model("tiny")
                            .prompt("a b")
                            .n(2)
                            .bestOf(3)
                            .logprobs(2)
                            .maxTokens(4)
                            .seed(3)
                            .temperature(1.0)
                            .build());
            text.validate();
            assertThat(text.choices()).hasSize(2);
            assertThat(text.choices()
                            .getFirst()
                            .logprobs()
                            .orElseThrow()
                            .topLogprobs()
                            .orElseThrow())
                    .hasSizeBetween(1, 4);
            ChatCompletion chat = client.chat()
                    .completions()
                    .create(ChatCompletionCreateParams.builder()
                            .model("tiny")
                            .addDeveloperMessage("be brief")
                            .addUserMessage("a b")
                            .n(2)
                            .logprobs(true)
                            .topLogprobs(2)
                            .maxCompletionTokens(4)
                            .reasoningEffort(ReasoningEffort.LOW)
                            .serviceTier(ChatCompletionCreateParams.ServiceTier.FLEX)
                            .safetyIdentifier("s")
                            .promptCacheKey("k")
                            .build());
            chat.validate();
            assertThat(chat.choices()).hasSize(2);
            assertThat(chat.usage().orElseThrow().promptTokensDetails()).isPresent();
        } finally {
            client.close();
        }
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

    private static String response(String fields) throws Exception {
        return responseObject(fields).at("/output/0/content/0/text").asString();
    }

    private static int inputTokens(String fields) throws Exception {
        return responseObject(fields + ",\"max_output_tokens\":1")
                .at("/usage/input_tokens")
                .asInt();
    }

    private static JsonNode responseObject(String fields) throws Exception {
        HttpResponse<String> answer = system.post(
                "/v1/responses", "{\"model\":\"tiny\",\"input\":\"Hello\",\"ignore_eos\":true," + fields + "}");
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body());
    }
}
