package io.millrace.gateway.stream;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Journal;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.ResponseShape.Api;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.json.JsonMapper;

/** What a client sees is a function of the journal. */
class RendererTest {

    private static final RequestId ID = RequestId.of(3, new byte[16]);

    private static Submit submit(Api api, int n) {
        return Submit.newBuilder()
                .setModel("m")
                .setCreatedMs(1_700_000_000_123L)
                .setN(n)
                .setPromptText("p")
                .setSampling(Sampling.newBuilder().setLogprobs(1))
                .setShape(ResponseShape.newBuilder()
                        .setApi(api)
                        .setStream(true)
                        .setIncludeUsage(true)
                        .setExtraJson("{\"user\":null}"))
                .build();
    }

    /** A journal with fences, zombies and gaps. */
    private static List<JournalRecord> journal(Submit submit, Random random) {
        List<JournalRecord> records = new ArrayList<>();
        var journal = new Journal(records::add, ID.text(), 42, submit);
        int n = submit.getN();
        int[] counts = new int[n];
        journal.strayToken(journal.aid(), 0, 0, "early").admit().claim();
        var stale = journal.aid();
        for (int i = 0; i < 200; i++) {
            int choice = random.nextInt(n);
            switch (random.nextInt(12)) {
                case 0 -> {
                    stale = journal.aid();
                    journal.claim();
                }
                case 1 ->
                    journal.strayToken(
                            stale.equals(journal.aid()) ? journal.aid().substring(1) : stale,
                            choice,
                            counts[choice],
                            "ZOMBIE");
                case 2 -> journal.token(choice, "");
                default -> journal.token(choice, "t" + i + "é🙂\"\n".charAt(random.nextInt(2)));
            }
            counts[choice]++;
        }
        for (int choice = 0; choice < n; choice++) {
            journal.end(choice, choice == 0 ? "stop" : "length", "held");
        }
        journal.strayToken(journal.aid(), 0, 0, "late");
        return records;
    }

    private static byte[] render(Submit submit, List<JournalRecord> records, Random polls) {
        return render(submit, records, polls, After.NOTHING);
    }

    private static byte[] render(Submit submit, List<JournalRecord> records, Random polls, After after) {
        var call = new Call(List.of(new Call.Part(ID, submit)));
        Renderer renderer = Renderer.of(call);
        var fold = new JournalFold(ID.text(), 42, JournalFold.Keep.COUNTS);
        var frames = new SseFrames(ID.text(), after);
        var sent = new ByteArrayOutputStream();
        long offset = 1000;
        for (JournalRecord record : records) {
            offset += 3;
            if (fold.apply(offset, 0, record).isAccepted()) {
                frames.begin(42, 1003);
                renderer.accept(new Accepted(0, offset, record), frames);
            }
            if (polls.nextInt(4) == 0) {
                sent.writeBytes(frames.take());
            }
        }
        sent.writeBytes(frames.take());
        assertThat(fold.terminal()).isTrue();
        return sent.toByteArray();
    }

    @ParameterizedTest
    @EnumSource(
            value = Api.class,
            names = {"CHAT_COMPLETIONS", "COMPLETIONS", "RESPONSES"})
    void twoGatewaysWithOtherPollsGiveTheSameBytes(Api api) {
        for (int seed = 0; seed < 50; seed++) {
            Submit submit = submit(api, api == Api.RESPONSES ? 1 : 3);
            List<JournalRecord> records = journal(submit, new Random(seed));
            byte[] one = render(submit, records, new Random(1));
            byte[] other = render(submit, records, new Random(2));
            assertThat(one).isEqualTo(other);
            String text = new String(one, StandardCharsets.UTF_8);
            assertThat(text).contains("held").doesNotContain("ZOMBIE", "early", "late");
            var mapper = new JsonMapper();
            text.lines()
                    .filter(line -> line.startsWith("data: {"))
                    .forEach(line -> assertThat(
                                    mapper.readTree(line.substring(6)).isObject())
                            .isTrue());
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Api.class,
            names = {"CHAT_COMPLETIONS", "COMPLETIONS", "RESPONSES"})
    void fromEveryEventOnTheRestIsTheSame(Api api) {
        Submit submit = submit(api, api == Api.RESPONSES ? 1 : 3);
        List<JournalRecord> records = journal(submit, new Random(7));
        String whole = new String(render(submit, records, new Random(1)), StandardCharsets.UTF_8);
        int end = 0;
        for (int number = 0; end < whole.length(); number++) {
            String event = whole.substring(end, whole.indexOf("\n\n", end) + 2);
            end += event.length();
            Cursor cursor = Cursor.parse(
                    ID,
                    event.lines()
                            .filter(line -> line.startsWith("id: "))
                            .findFirst()
                            .orElseThrow()
                            .substring(4));
            for (After after : List.of(new After.Place(cursor), new After.Sequence(number))) {
                assertThat(new String(render(submit, records, new Random(2), after), StandardCharsets.UTF_8))
                        .isEqualTo(whole.substring(end));
            }
        }
    }

    @Test
    void chatChunksAreAsOpenAiWritesThem() {
        Submit submit =
                submit(Api.CHAT_COMPLETIONS, 1).toBuilder().clearSampling().build();
        List<JournalRecord> records = new ArrayList<>();
        new Journal(records::add, ID.text(), 42, submit).answer("Hé", "\"\n");
        String id = "chatcmpl-" + ID.text();
        String head = "{\"id\":\"" + id
                + "\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"system_fingerprint\":\"test-f32\",\"choices\":[";
        assertThat(new String(render(submit, records, new Random(0)), StandardCharsets.UTF_8))
                .isEqualTo(id(1009, 0) + "" + head
                        + "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
                        + id(1009, 1) + "" + head
                        + "{\"index\":0,\"delta\":{\"content\":\"Hé\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
                        + id(1012, 0) + "" + head
                        + "{\"index\":0,\"delta\":{\"content\":\"\\\"\\n\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
                        + id(1015, 0) + "" + head
                        + "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null}],\"usage\":null}\n\n"
                        + id(1015, 1) + "" + head
                        + "],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3},"
                        + "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n"
                        + id(1015, 2) + "[DONE]\n\n");
    }

    private static String id(long offset, int k) {
        return "id: " + new Cursor(42, 1003, offset, k).text(ID.text()) + "\ndata: ";
    }

    private static final String SCORED = "\"prompt_logprobs\":[null,"
            + "{\"11\":{\"logprob\":-1.5,\"rank\":2,\"decoded_token\":\" é\"},"
            + "\"91\":{\"logprob\":-0.25,\"rank\":1,\"decoded_token\":\"best\"}},"
            + "{\"12\":{\"logprob\":-1.5,\"rank\":2,\"decoded_token\":\"b\"},"
            + "\"92\":{\"logprob\":-0.25,\"rank\":1,\"decoded_token\":\"best\"}}]";

    private static String scored(Api api, boolean stream, boolean echo) {
        Submit.Builder submit = submit(api, 1).toBuilder().setPromptText("a éb");
        submit.getShapeBuilder().setStream(stream).setIncludeUsage(false);
        submit.getSamplingBuilder().setEcho(echo).setPromptLogprobs(1);
        List<JournalRecord> records = new ArrayList<>();
        new Journal(records::add, ID.text(), 42, submit.build())
                .admit()
                .claim()
                .promptLogprobs("a", " é", "b")
                .token(0, "c")
                .end(0, "stop", "");
        return new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8);
    }

    @Test
    void promptLogprobsAreAsVllmWritesThem() {
        assertThat(scored(Api.CHAT_COMPLETIONS, false, false)).contains("}}," + SCORED + "}\n");
        assertThat(scored(Api.COMPLETIONS, false, false)).contains("\"stop_reason\":null," + SCORED + "}]");
        String chat = scored(Api.CHAT_COMPLETIONS, true, false);
        assertThat(chat.lines().filter(line -> line.contains("prompt_logprobs")))
                .hasSize(1);
        assertThat(chat).contains("\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]," + SCORED + "}\n");
        String text = scored(Api.COMPLETIONS, true, false);
        assertThat(text.lines().filter(line -> line.contains("prompt_logprobs")))
                .hasSize(1);
        assertThat(text).contains("\"text\":\"\",\"logprobs\":null,\"finish_reason\":null," + SCORED + "}]}\n");
    }

    @Test
    void anEchoedPromptBringsItsLogprobsBeforeThoseOfTheCompletion() {
        String prompt = "{\"text_offset\":[0,1,3],\"token_logprobs\":[null,-1.5,-1.5],\"tokens\":[\"a\",\" é\",\"b\"],"
                + "\"top_logprobs\":[null,{\"best\":-0.25,\" é\":-1.5},{\"best\":-0.25,\"b\":-1.5}]}";
        assertThat(scored(Api.COMPLETIONS, false, true))
                .contains("\"text\":\"a ébc\",\"logprobs\":{\"text_offset\":[0,1,3,4],"
                        + "\"token_logprobs\":[null,-1.5,-1.5,-0.5],\"tokens\":[\"a\",\" é\",\"b\",\"c\"]");
        assertThat(scored(Api.COMPLETIONS, true, true))
                .contains("\"text\":\"a éb\",\"logprobs\":" + prompt)
                .contains("\"text\":\"c\",\"logprobs\":{\"text_offset\":[4]");
    }

    @Test
    void ofAPromptThatIsOnlyScoredNothingElseIsShown() {
        Submit.Builder submit = submit(Api.COMPLETIONS, 1).toBuilder().setPromptText("a éb");
        submit.getShapeBuilder().setPromptOnly(true);
        submit.getSamplingBuilder().setEcho(true).setPromptLogprobs(1);
        List<JournalRecord> records = new ArrayList<>();
        new Journal(records::add, ID.text(), 42, submit.build())
                .admit()
                .claim()
                .promptLogprobs("a", " é", "b")
                .token(0, "HIDDEN")
                .end(0, "stop", "HIDDEN");
        for (boolean stream : new boolean[] {true, false}) {
            submit.getShapeBuilder().setStream(stream);
            assertThat(new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8))
                    .contains("\"text\":\"a éb\"", "\"text_offset\":[0,1,3]", "\"finish_reason\":\"length\"")
                    .contains("\"completion_tokens\":0,\"total_tokens\":7")
                    .doesNotContain("HIDDEN");
        }
    }

    @Test
    void aTokenOutsideTheTextTakesNoPlaceInIt() {
        List<JournalRecord> records = new ArrayList<>();
        new Journal(records::add, ID.text(), 42, submit(Api.COMPLETIONS, 1)).promptLogprobs("<s>", " Hi", " there");
        var logprobs = new PromptLogprobs(new Call(List.of(new Call.Part(ID, submit(Api.COMPLETIONS, 1)))));
        logprobs.observe(new Accepted(0, 1, records.getFirst()));
        assertThat(PromptLogprobs.offsets(logprobs.of(0), "Hi there")).containsExactly(0, 0, 2);
    }

    @Test
    void theBestOfAPromptsChoicesAreThoseOfTheHighestMeanLogprob() {
        Submit.Builder submit = submit(Api.COMPLETIONS, 4).toBuilder();
        submit.getShapeBuilder().setStream(false).setBest(2).setHideLogprobs(true);
        List<JournalRecord> records = new ArrayList<>();
        Journal journal =
                new Journal(records::add, ID.text(), 42, submit.build()).admit().claim();
        journal.scored(0, "a", -3f).scored(1, "b", -1f).scored(2, "c", -0.5f).scored(3, "d", -1f);
        journal.scored(2, "C", -2.5f).scored(0, "A", -0.5f).scored(0, "A", -0.1f);
        for (int choice = 0; choice < 4; choice++) {
            journal.end(choice, choice == 1 ? "length" : "stop", "");
        }
        var answer = new JsonMapper()
                .readTree(new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8)
                        .lines()
                        .filter(line -> line.startsWith("data: "))
                        .findFirst()
                        .orElseThrow()
                        .substring(6));
        var choices = answer.get("choices");
        assertThat(choices.size()).isEqualTo(2);
        // Means are -1.2, -1, -1.5 and -1; the sums alone would put c before a.
        assertThat(choices.get(0).get("text").asString()).isEqualTo("b");
        assertThat(choices.get(0).get("index").asInt()).isZero();
        assertThat(choices.get(0).get("finish_reason").asString()).isEqualTo("length");
        assertThat(choices.get(0).get("logprobs").isNull()).isTrue();
        assertThat(choices.get(1).get("text").asString()).isEqualTo("d");
        assertThat(choices.get(1).get("index").asInt()).isEqualTo(1);
        assertThat(answer.get("usage").get("completion_tokens").asInt()).isEqualTo(7);
    }

    @Test
    void aChatsLastMessageComesBackBeforeTheAnswerThatGoesOnInItsRole() {
        Submit.Builder submit = submit(Api.CHAT_COMPLETIONS, 1).toBuilder()
                .clearSampling()
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson("[{\"role\":\"user\",\"content\":\"x\"},"
                                + "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"So \"}]}]")
                        .setContinueFinalMessage(true));
        submit.getSamplingBuilder().setEcho(true);
        List<JournalRecord> records = new ArrayList<>();
        new Journal(records::add, ID.text(), 42, submit.build()).answer("be it");
        assertThat(new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8))
                .contains("\"delta\":{\"content\":\"So \"}");
        submit.getShapeBuilder().setStream(false);
        assertThat(new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8))
                .contains("\"content\":\"So be it\"");
        submit.getChatBuilder()
                .setMessagesJson("[{\"role\":\"user\",\"content\":\"So \"}]")
                .setAddGenerationPrompt(true);
        assertThat(new String(render(submit.build(), records, new Random(0)), StandardCharsets.UTF_8))
                .contains("\"content\":\"be it\"");
    }
}
