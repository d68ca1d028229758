package io.millrace.standalone.rerun;

import java.util.List;

/** Whether two runs of one request are the same, byte for byte. */
sealed interface Comparison {

    /** All ids, texts, reasons and log probabilities are equal. */
    record Equal(int choices, int tokens, boolean logprobs) implements Comparison {}

    /**
     * Something is not.
     *
     * @param token position in the choice's output at which they part
     */
    record Differs(int choice, int token, String how) implements Comparison {}

    /** They say nothing about each other. */
    record Incomparable(String why) implements Comparison {}

    /** Compares a run with the one before. */
    static Comparison of(Outcome before, Outcome now) {
        if (!before.status().equals(Outcome.COMPLETED)) {
            return new Incomparable("it did not complete: " + before.status());
        }
        if (before.outputs()) {
            return new Incomparable("its output is not only tokens; chats, completions and responses are compared");
        }
        if (!now.status().equals(Outcome.COMPLETED)) {
            return new Incomparable("this time it did not complete: " + now.status());
        }
        if (before.weightsHash() != now.weightsHash()) {
            return new Incomparable("the model's weights are others: %016x then, %016x now"
                    .formatted(before.weightsHash(), now.weightsHash()));
        }
        if (before.promptHash() != now.promptHash() || before.promptTokens() != now.promptTokens()) {
            return new Incomparable("the prompt has other ids (%d then, %d now): the template or the tokenizer changed"
                    .formatted(before.promptTokens(), now.promptTokens()));
        }
        Comparison found = choices(before, now);
        if (before.inexact() || now.inexact() || !before.numericsId().equals(now.numericsId())) {
            return new Incomparable("the numerics are others: %s then, %s now; the outputs %s"
                    .formatted(
                            numerics(before),
                            numerics(now),
                            found instanceof Differs differs
                                    ? "part at token " + differs.token() + " of choice " + differs.choice()
                                    : "are equal all the same"));
        }
        return found;
    }

    private static String numerics(Outcome outcome) {
        return outcome.numericsId() + (outcome.inexact() ? " after others" : "");
    }

    private static Comparison choices(Outcome before, Outcome now) {
        int tokens = 0;
        boolean logprobs = false;
        if (before.choices().size() != now.choices().size()) {
            return new Differs(
                    0,
                    0,
                    "%d choices then, %d now"
                            .formatted(before.choices().size(), now.choices().size()));
        }
        for (int i = 0; i < before.choices().size(); i++) {
            Outcome.Choice then = before.choices().get(i);
            Outcome.Choice again = now.choices().get(i);
            int same = common(then.ids(), again.ids());
            if (same < Math.max(then.ids().size(), again.ids().size())) {
                return new Differs(
                        i, same, "id %s then, %s now".formatted(at(then.ids(), same), at(again.ids(), same)));
            }
            int alike = common(then.logprobs(), again.logprobs());
            if (alike < Math.max(then.logprobs().size(), again.logprobs().size())) {
                return new Differs(i, alike, "the ids are equal, the log probabilities are not");
            }
            if (!then.text().equals(again.text())) {
                return new Differs(
                        i,
                        same,
                        "the ids are equal, the text is not: %d characters then, %d now"
                                .formatted(then.text().length(), again.text().length()));
            }
            if (!then.finishReason().equals(again.finishReason())
                    || !then.stopReason().equals(again.stopReason())) {
                return new Differs(
                        i,
                        same,
                        "it ended by '%s%s' then, '%s%s' now"
                                .formatted(then.finishReason(), reason(then), again.finishReason(), reason(again)));
            }
            tokens += same;
            logprobs |= !then.logprobs().isEmpty();
        }
        return new Equal(before.choices().size(), tokens, logprobs);
    }

    private static String reason(Outcome.Choice choice) {
        return choice.stopReason().isEmpty() ? "" : " " + choice.stopReason();
    }

    private static int common(List<?> one, List<?> other) {
        int i = 0;
        while (i < Math.min(one.size(), other.size()) && one.get(i).equals(other.get(i))) {
            i++;
        }
        return i;
    }

    private static String at(List<Integer> ids, int index) {
        return index < ids.size() ? String.valueOf(ids.get(index)) : "none";
    }

    /** As a line for people. */
    default String line() {
        return switch (this) {
            case Equal equal ->
                "equal: %d %s, %d tokens; ids, text and finish reason%s"
                        .formatted(
                                equal.choices(),
                                equal.choices() == 1 ? "choice" : "choices",
                                equal.tokens(),
                                equal.logprobs() ? ", and log probabilities" : "");
            case Differs differs ->
                "differs at token %d of choice %d: %s".formatted(differs.token(), differs.choice(), differs.how());
            case Incomparable no -> "cannot be compared: " + no.why();
        };
    }
}
