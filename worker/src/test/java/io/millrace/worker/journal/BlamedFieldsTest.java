package io.millrace.worker.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.ToolUse;
import org.junit.jupiter.api.Test;

/** Which field of a request a failure of the engine names. */
class BlamedFieldsTest {

    private static final String NOTHING_LEFT = "MR-SAMPLING-002";
    private static final String GRAMMAR = "MR-GRAMMAR-002";

    private static Submit.Builder with(Sampling.Builder sampling) {
        return Submit.newBuilder().setPromptText("x").setSampling(sampling);
    }

    private static Sampling.Builder regex() {
        return Sampling.newBuilder()
                .setGrammar(OutputGrammar.newBuilder().setRegex("[ab]").setParam("guided_regex"));
    }

    private static String blamed(Submit.Builder submit, String code) {
        return BlamedFields.of(submit.build()).of(code);
    }

    @Test
    void whereNothingIsLeftItIsWhatForbidsMost() {
        assertThat(blamed(with(regex().addAllowedTokenIds(7).putLogitBias(5, -100)), NOTHING_LEFT))
                .isEqualTo("allowed_token_ids");
        assertThat(blamed(with(regex().putLogitBias(5, -100)), NOTHING_LEFT)).isEqualTo("guided_regex");
        assertThat(blamed(with(Sampling.newBuilder().addBadWords("x").putLogitBias(5, -100)), NOTHING_LEFT))
                .isEqualTo("logit_bias");
        assertThat(blamed(with(Sampling.newBuilder().addBadWords("x").setMinTokens(2)), NOTHING_LEFT))
                .isEqualTo("bad_words");
        assertThat(blamed(with(Sampling.newBuilder().setMinTokens(2)), NOTHING_LEFT))
                .isEqualTo("min_tokens");
        assertThat(blamed(with(Sampling.newBuilder()), NOTHING_LEFT)).isEmpty();
    }

    @Test
    void aGrammarIsNamedAsTheClientNamedItAndElseItIsTheTools() {
        Submit.Builder tools = Submit.newBuilder()
                .setChat(ChatInput.newBuilder().setToolUse(ToolUse.newBuilder().setRequired(true)));
        assertThat(blamed(with(regex()), GRAMMAR)).isEqualTo("guided_regex");
        assertThat(blamed(tools, GRAMMAR)).isEqualTo("tools");
        assertThat(blamed(tools, NOTHING_LEFT)).isEqualTo("tools");
    }

    @Test
    void whatIsTooLongOrTooManyIsNamedAndWhatIsNoFieldsFaultIsNot() {
        assertThat(blamed(with(Sampling.newBuilder()), "MR-ENGINE-002")).isEqualTo("prompt");
        assertThat(blamed(Submit.newBuilder().setChat(ChatInput.getDefaultInstance()), "MR-ENGINE-002"))
                .isEqualTo("messages");
        assertThat(blamed(with(Sampling.newBuilder()), "MR-ENGINE-003")).isEqualTo("n");
        assertThat(blamed(with(regex()), "MR-ENGINE-007")).isEmpty();
        assertThat(BlamedFields.NONE.of(NOTHING_LEFT)).isEmpty();
    }
}
