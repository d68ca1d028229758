package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Choices;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.journal.Preparation;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class RequestPreparerTest {

    private static final int VOCABULARY = 512;
    private static final int CONTEXT = 64;

    private final RequestPreparer preparer = preparer(new MockRenderer(), GenerationDefaults.NONE);

    private static RequestPreparer preparer(@Nullable PromptRenderer renderer, GenerationDefaults defaults) {
        return new RequestPreparer("m", new MockTokenizer(VOCABULARY), renderer, defaults, VOCABULARY, CONTEXT, 8);
    }

    private static Submit.Builder text(String prompt, Sampling.Builder sampling) {
        return Submit.newBuilder()
                .setPromptText(prompt)
                .setSampling(sampling)
                .setSeed(7)
                .setDeadlineMs(99)
                .setN(1);
    }

    private static Submit.Builder text(String prompt) {
        return text(prompt, Sampling.newBuilder());
    }

    private Preparation prepare(Submit.Builder submit) {
        return preparer.prepare("k", submit.build(), List.of(new int[0]), new boolean[1], false);
    }

    private GenerationRequest ready(Submit.Builder submit) {
        Preparation prepared = prepare(submit);
        assertThat(prepared).isInstanceOf(Preparation.Ready.class);
        return ((Preparation.Ready) prepared).request();
    }

    private Preparation.Refused refused(Submit.Builder submit) {
        Preparation prepared = prepare(submit);
        assertThat(prepared).isInstanceOf(Preparation.Refused.class);
        Preparation.Refused refused = (Preparation.Refused) prepared;
        assertThat(refused.status()).isEqualTo(400);
        return refused;
    }

    private Preparation.Refused refused(Sampling.Builder sampling) {
        return refused(text("hello", sampling));
    }

    @Test
    void a_chat_is_rendered_and_tokenised_without_more_special_tokens() {
        ChatInput chat = ChatInput.newBuilder()
                .setMessagesJson("[{\"role\":\"user\",\"content\":\"hé\"}]")
                .setAddGenerationPrompt(true)
                .build();
        GenerationRequest request = ready(Submit.newBuilder().setChat(chat).setN(1));
        byte[] bytes = "user: hé\nassistant:".getBytes(StandardCharsets.UTF_8);
        assertThat(request.promptIds()).hasSize(bytes.length);
        assertThat(request.promptIds()[0]).isEqualTo('u');
        assertThat(request.maxTokens()).isEqualTo(CONTEXT - bytes.length);
        assertThat(request.stopIds()).containsExactly(VOCABULARY - 1);
        assertThat(request.form().skipSpecial()).isTrue();
        assertThat(request.promptLogprobs()).isEqualTo(-1);
    }

    @Test
    void a_conversation_that_may_be_cut_loses_whole_turns_from_its_beginning_but_no_system_message() {
        String messages = "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"first\"},"
                + "{\"role\":\"assistant\",\"content\":\"one\"},{\"role\":\"user\",\"content\":\"second\"}%s]";
        ChatInput.Builder chat = ChatInput.newBuilder().setAddGenerationPrompt(true);
        String whole = "system: s\nuser: first\nassistant: one\nuser: second\nassistant:";
        String later = "system: s\nuser: second\nassistant:";
        chat.setMessagesJson(messages.formatted(""));
        chat.setDropOldest(true);
        assertThat(text(ready(Submit.newBuilder().setChat(chat)))).isEqualTo(later);
        assertThat(text(ready(Submit.newBuilder()
                        .setChat(chat)
                        .setSampling(Sampling.newBuilder().setMaxTokens(1)))))
                .isEqualTo(whole);
        chat.setMessagesJson(messages.formatted(",{\"role\":\"user\",\"content\":\"" + "x".repeat(CONTEXT) + "\"}"));
        assertThat(refused(Submit.newBuilder().setChat(chat)).code()).isEqualTo("context_length_exceeded");
    }

    private static String text(GenerationRequest request) {
        byte[] bytes = new byte[request.promptIds().length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) request.promptIds()[i];
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Test
    void a_chat_without_template_is_refused() {
        RequestPreparer bare = preparer(null, GenerationDefaults.NONE);
        Submit submit =
                Submit.newBuilder().setChat(ChatInput.getDefaultInstance()).build();
        Preparation prepared = bare.prepare("k", submit, List.of(new int[0]), new boolean[1], false);
        assertThat(prepared)
                .isInstanceOfSatisfying(
                        Preparation.Refused.class, r -> assertThat(r.code()).isEqualTo("no_chat_template"));
    }

    @Test
    void a_prompt_that_fills_the_context_is_refused_with_both_numbers() {
        assertThat(ready(text("x".repeat(CONTEXT - 1))).maxTokens()).isEqualTo(1);
        Preparation.Refused refused = refused(text("x".repeat(CONTEXT + 5)));
        assertThat(refused.code()).isEqualTo("context_length_exceeded");
        assertThat(refused.message()).contains("64 tokens").contains("69 tokens");
        assertThat(refused.param()).isEqualTo("prompt");
        assertThat(refused(text("x".repeat(CONTEXT))).code()).isEqualTo("context_length_exceeded");
    }

    @Test
    void max_tokens_is_cut_to_the_context_and_refused_below_one() {
        assertThat(ready(text("xxxx")).maxTokens()).isEqualTo(60);
        assertThat(ready(text("xxxx", Sampling.newBuilder().setMaxTokens(7))).maxTokens())
                .isEqualTo(7);
        assertThat(ready(text("xxxx", Sampling.newBuilder().setMaxTokens(Integer.MAX_VALUE)))
                        .maxTokens())
                .isEqualTo(60);
        assertThat(refused(Sampling.newBuilder().setMaxTokens(0)).param()).isEqualTo("max_tokens");
        assertThat(refused(Sampling.newBuilder().setMaxTokens(2).setMinTokens(3))
                        .param())
                .isEqualTo("min_tokens");
    }

    @Test
    void a_prompt_is_cut_to_its_last_tokens_when_asked() {
        GenerationRequest request = ready(text("abcdef", Sampling.newBuilder().setTruncatePromptTokens(2)));
        assertThat(request.promptIds()).containsExactly('e', 'f');
        assertThat(ready(text("x".repeat(100), Sampling.newBuilder().setTruncatePromptTokens(-1)))
                        .promptIds())
                .hasSize(CONTEXT - 1);
        assertThat(refused(Sampling.newBuilder().setTruncatePromptTokens(0)).param())
                .isEqualTo("truncate_prompt_tokens");
    }

    @Test
    void given_ids_must_be_of_the_vocabulary() {
        Submit.Builder good =
                Submit.newBuilder().setPromptIds(TokenIds.newBuilder().addIds(511));
        assertThat(ready(good).promptIds()).containsExactly(511);
        Submit.Builder bad =
                Submit.newBuilder().setPromptIds(TokenIds.newBuilder().addIds(1).addIds(512));
        assertThat(refused(bad).message()).contains("index 1").contains("512").contains("0 to 511");
        assertThat(refused(Submit.newBuilder()
                                .setPromptIds(TokenIds.newBuilder().addIds(-1)))
                        .message())
                .contains("4294967295");
        assertThat(refused(text("")).param()).isEqualTo("prompt");
        assertThat(refused(Submit.newBuilder()).message()).contains("neither");
    }

    @Test
    void numbers_out_of_range_and_nan_are_refused_by_name() {
        assertThat(refused(Sampling.newBuilder().setTemperature(Double.NaN)).param())
                .isEqualTo("temperature");
        assertThat(refused(Sampling.newBuilder().setTemperature(-0.1)).param()).isEqualTo("temperature");
        assertThat(refused(Sampling.newBuilder().setTopP(0)).param()).isEqualTo("top_p");
        assertThat(refused(Sampling.newBuilder().setTopP(1.01)).param()).isEqualTo("top_p");
        assertThat(refused(Sampling.newBuilder().setTopK(-2)).param()).isEqualTo("top_k");
        assertThat(refused(Sampling.newBuilder().setMinP(Double.POSITIVE_INFINITY))
                        .param())
                .isEqualTo("min_p");
        assertThat(refused(Sampling.newBuilder().setTypicalP(Double.NaN)).param())
                .isEqualTo("typical_p");
        assertThat(refused(Sampling.newBuilder().setPresencePenalty(2.5)).param())
                .isEqualTo("presence_penalty");
        assertThat(refused(Sampling.newBuilder().setFrequencyPenalty(Double.NaN))
                        .param())
                .isEqualTo("frequency_penalty");
        assertThat(refused(Sampling.newBuilder().setRepetitionPenalty(0)).param())
                .isEqualTo("repetition_penalty");
        assertThat(refused(Sampling.newBuilder().setLogprobs(21)).param()).isEqualTo("logprobs");
        assertThat(refused(Sampling.newBuilder().setPromptLogprobs(-1)).param()).isEqualTo("prompt_logprobs");
        assertThat(refused(text("x").setN(9)).param()).isEqualTo("n");
    }

    @Test
    void logit_bias_and_stop_ids_must_be_of_the_vocabulary() {
        assertThat(refused(Sampling.newBuilder().putLogitBias(512, 1)).message())
                .contains("512");
        assertThat(refused(Sampling.newBuilder().putLogitBias(5, Float.NaN)).param())
                .isEqualTo("logit_bias");
        assertThat(refused(Sampling.newBuilder().putLogitBias(5, 101)).param()).isEqualTo("logit_bias");
        assertThat(refused(Sampling.newBuilder().addStopTokenIds(512)).param()).isEqualTo("stop_token_ids");
        assertThat(refused(Sampling.newBuilder().addStop("")).param()).isEqualTo("stop");
        GenerationRequest request = ready(text(
                "x",
                Sampling.newBuilder()
                        .putLogitBias(5, -100)
                        .addStopTokenIds(9)
                        .addStop("END")
                        .setIgnoreEos(true)));
        assertThat(request.sampling().logitBias()).containsEntry(5, -100f);
        assertThat(request.stopIds()).containsExactly(9);
        assertThat(request.stopStrings()).containsExactly("END");
    }

    @Test
    void what_the_request_does_not_say_the_model_does_and_what_it_says_wins() {
        RequestPreparer own = preparer(null, new GenerationDefaults(0.5, 40, 0.9, 0.05, 0.8, 1.1));
        Submit silent = text("x").build();
        assertThat(own.prepare("k", silent, List.of(new int[0]), new boolean[1], false))
                .isInstanceOfSatisfying(Preparation.Ready.class, r -> {
                    assertThat(r.request().sampling().temperature()).isEqualTo(0.5f);
                    assertThat(r.request().sampling().topK()).isEqualTo(40);
                    assertThat(r.request().sampling().repetitionPenalty()).isEqualTo(1.1f);
                });
        Submit loud = text(
                        "x", Sampling.newBuilder().setTemperature(0).setTopK(-1).setRepetitionPenalty(1))
                .build();
        assertThat(own.prepare("k", loud, List.of(new int[0]), new boolean[1], false))
                .isInstanceOfSatisfying(Preparation.Ready.class, r -> {
                    assertThat(r.request().sampling().temperature()).isZero();
                    assertThat(r.request().sampling().topK()).isZero();
                    assertThat(r.request().sampling().topP()).isEqualTo(0.9f);
                    assertThat(r.request().sampling().repetitionPenalty()).isEqualTo(1f);
                });
        assertThat(ready(text("x")).sampling().temperature()).isEqualTo(1f);
    }

    @Test
    void bad_words_count_at_the_start_and_after_a_space() {
        List<int[]> words =
                ready(text("x", Sampling.newBuilder().addBadWords(" no"))).badWords();
        assertThat(words.stream().map(Arrays::toString)).containsExactly("[110, 111]", "[32, 110, 111]");
        assertThat(refused(Sampling.newBuilder().addBadWords(" ")).param()).isEqualTo("bad_words");
    }

    @Test
    void allowed_ids_become_a_mask_and_must_be_of_the_vocabulary() {
        GenerationRequest request =
                ready(text("x", Sampling.newBuilder().addAllowedTokenIds(33).addAllowedTokenIds(511)));
        assertThat(Objects.requireNonNull(request.allowed()).words())
                .hasSize(16)
                .satisfies(
                        words -> assertThat(words[1]).isEqualTo(2),
                        words -> assertThat(words[15]).isEqualTo(1 << 31));
        assertThat(ready(text("x")).allowed()).isNull();
        assertThat(refused(Sampling.newBuilder().addAllowedTokenIds(512)).param())
                .isEqualTo("allowed_token_ids");
    }

    private static Sampling.Builder bound(OutputGrammar.Builder grammar) {
        return Sampling.newBuilder().setGrammar(grammar.setParam("field"));
    }

    @Test
    void what_the_output_must_be_is_compiled_once() {
        OutputGrammar.Builder schema = OutputGrammar.newBuilder().setJsonSchema("{\"type\":\"null\"}");
        assertThat(ready(text("x", bound(schema))).grammar())
                .isNotNull()
                .isSameAs(ready(text("y", bound(schema))).grammar());
        assertThat(ready(text("x", bound(OutputGrammar.newBuilder().setJsonObject(true))))
                        .grammar())
                .isNotNull();
        assertThat(ready(text("x")).grammar()).isNull();
    }

    @Test
    void a_grammar_that_cannot_be_used_is_refused_by_its_field() {
        Preparation.Refused schema = refused(
                bound(OutputGrammar.newBuilder().setJsonSchema("{\"items\":{\"contains\":{},\"type\":\"array\"}}")));
        assertThat(schema.param()).isEqualTo("field");
        assertThat(schema.code()).isEqualTo("unsupported_schema");
        assertThat(schema.message()).contains("#/items/contains");
        assertThat(refused(bound(OutputGrammar.newBuilder().setRegex("("))).code())
                .isEqualTo("invalid_regex");
        assertThat(refused(bound(OutputGrammar.newBuilder().setEbnf("root ::= \"a\" root")))
                        .code())
                .isEqualTo("unsatisfiable_grammar");
        assertThat(refused(bound(OutputGrammar.newBuilder().setChoice(Choices.getDefaultInstance())))
                        .code())
                .isEqualTo("invalid_choice");
    }

    @Test
    void a_task_that_is_not_served_is_refused_and_the_rest_is_carried_over() {
        assertThat(refused(text("x").setTask(Submit.Task.EMBED)).code()).isEqualTo("unsupported_task");
        GenerationRequest request = ready(text("x").setPriority(3).setCacheSalt("s"));
        assertThat(request.key()).isEqualTo("k");
        assertThat(request.seed()).isEqualTo(7);
        assertThat(request.deadlineMs()).isEqualTo(99);
        assertThat(request.priority()).isEqualTo(3);
        assertThat(request.cacheSalt()).isEqualTo("s");
    }
}
