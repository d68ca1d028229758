package io.millrace.worker.sampling;

import io.millrace.shared.error.MillraceException;

/** Why no id could be chosen from a row, whoever looked at it. */
public final class SamplingFailures {

    private SamplingFailures() {}

    /** MR-SAMPLING-001: {@code logit}, of id {@code bad}, is NaN or infinite. */
    public static MillraceException broken(int bad, float logit, int vocabulary, SamplingRow row) {
        return new MillraceException(
                "MR-SAMPLING-001",
                what(bad, logit, vocabulary) + " at position " + row.position()
                        + ": the model's arithmetic has broken down. Check the weights, or use float32.");
    }

    static MillraceException brokenPrompt(int bad, float logit, int vocabulary) {
        return new MillraceException("MR-SAMPLING-001", what(bad, logit, vocabulary) + " in a row of the prompt");
    }

    private static String what(int bad, float logit, int vocabulary) {
        return "Logit " + bad + " of " + vocabulary + " is " + logit;
    }

    /** MR-SAMPLING-002: everything is at -infinity. */
    public static MillraceException noneLeft(int vocabulary, SamplingRow row) {
        return new MillraceException(
                "MR-SAMPLING-002",
                "No id can be chosen at position " + row.position() + ": all " + vocabulary + " logits are -infinity ("
                        + row.suppressed().length + " ids suppressed"
                        + (row.mask() == null
                                ? ""
                                : ", others not among those that a grammar or allowed_token_ids leaves")
                        + "). Loosen logit_bias, bad words, min_tokens, allowed_token_ids or the grammar.");
    }
}
