package io.millrace.standalone.rerun;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.proto.TokenLogprob;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a replay says of two runs. */
class ComparisonTest {

    private static final Outcome.Choice CHOICE =
            new Outcome.Choice(List.of(1, 2, 3), "abc", "stop", "", List.of(logprob(-1), logprob(-2), logprob(-3)));

    private static TokenLogprob logprob(float value) {
        return TokenLogprob.newBuilder().setLogprob(value).build();
    }

    private static Outcome outcome(String numerics, Outcome.Choice... choices) {
        return new Outcome(Outcome.COMPLETED, "m", 7, numerics, false, 5, 9, false, List.of(choices));
    }

    private static Outcome.Choice with(List<Integer> ids, String text, String finish, float lastLogprob) {
        return new Outcome.Choice(ids, text, finish, "", List.of(logprob(-1), logprob(-2), logprob(lastLogprob)));
    }

    private static String compare(Outcome before, Outcome now) {
        return Comparison.of(before, now).line();
    }

    @Test
    void equalRunsAreEqualWithAllTheyHave() {
        assertThat(Comparison.of(outcome("n", CHOICE, CHOICE), outcome("n", CHOICE, CHOICE)))
                .isEqualTo(new Comparison.Equal(2, 6, true));
        assertThat(compare(outcome("n", CHOICE), outcome("n", CHOICE)))
                .isEqualTo("equal: 1 choice, 3 tokens; ids, text and finish reason, and log probabilities");
    }

    @Test
    void theFirstTokenThatDiffersIsNamed() {
        assertThat(compare(outcome("n", CHOICE), outcome("n", with(List.of(1, 5, 3), "abc", "stop", -3))))
                .isEqualTo("differs at token 1 of choice 0: id 2 then, 5 now");
        assertThat(compare(outcome("n", CHOICE, CHOICE), outcome("n", CHOICE, with(List.of(1, 2), "ab", "stop", -3))))
                .isEqualTo("differs at token 2 of choice 1: id 3 then, none now");
    }

    @Test
    void equalIdsAreNotEnough() {
        assertThat(compare(outcome("n", CHOICE), outcome("n", with(CHOICE.ids(), "abc", "stop", -3.5f))))
                .isEqualTo("differs at token 2 of choice 0: the ids are equal, the log probabilities are not");
        assertThat(compare(outcome("n", CHOICE), outcome("n", with(CHOICE.ids(), "abd!", "stop", -3))))
                .contains("the text is not: 3 characters then, 4 now");
        assertThat(compare(outcome("n", CHOICE), outcome("n", with(CHOICE.ids(), "abc", "length", -3))))
                .contains("it ended by 'stop' then, 'length' now");
    }

    @Test
    void runsOfOtherNumericsWeightsOrPromptsSayNothingOfEachOther() {
        assertThat(compare(outcome("n", CHOICE), outcome("other", CHOICE)))
                .isEqualTo(
                        "cannot be compared: the numerics are others: n then, other now; the outputs are equal all the same");
        assertThat(compare(outcome("n", CHOICE), outcome("other", with(List.of(1, 5, 3), "abc", "stop", -3))))
                .endsWith("the outputs part at token 1 of choice 0");
        Outcome weights = new Outcome(Outcome.COMPLETED, "m", 8, "n", false, 5, 9, false, List.of(CHOICE));
        assertThat(compare(outcome("n", CHOICE), weights)).contains("the model's weights are others");
        Outcome prompt = new Outcome(Outcome.COMPLETED, "m", 7, "n", false, 6, 10, false, List.of(CHOICE));
        assertThat(compare(outcome("n", CHOICE), prompt)).contains("the prompt has other ids (5 then, 6 now)");
        Outcome inexact = new Outcome(Outcome.COMPLETED, "m", 7, "n", true, 5, 9, false, List.of(CHOICE));
        assertThat(compare(inexact, outcome("n", CHOICE))).contains("n after others then");
        Outcome failed = new Outcome("503 no_worker: none", "m", 7, "n", false, 5, 9, false, List.of());
        assertThat(compare(failed, failed)).contains("it did not complete: 503 no_worker");
        assertThat(compare(outcome("n", CHOICE), failed)).contains("this time it did not complete");
    }
}
