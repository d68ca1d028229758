package io.millrace.worker.sampling;

import io.millrace.shared.error.MillraceException;
import org.jspecify.annotations.Nullable;

/**
 * Which drafts are accepted: each that is the id that its row has chosen, up to the first that is not. Every row chooses as if it were alone, by its
 * position and its history with the drafts before it, so the ids that are left are those that steps of one row would have chosen. Leviathan et al.,
 * "Fast Inference from Transformers via Speculative Decoding" (ICML 2023), accept more of a draft that was drawn itself; not the same ids.
 */
public final class Drafts {

    private Drafts() {}

    /**
     * Takes back what the rows have chosen that verify what follows a draft that is not accepted.
     *
     * @param rows [R] the logit rows of a step, those of a sequence one after the other
     * @param sampled [R] null where a row has chosen nothing; null afterwards where a row is refused
     * @param errors [R] why rows have chosen nothing; null afterwards where a row is refused
     */
    public static void refuse(
            @Nullable SamplingRow[] rows, @Nullable SampledToken[] sampled, @Nullable MillraceException[] errors) {
        for (int r = 1; r < rows.length; r++) {
            SamplingRow before = rows[r - 1];
            if (before == null || before.draft() < 0) {
                continue;
            }
            SampledToken chosen = sampled[r - 1];
            if (chosen == null || chosen.id() != before.draft()) {
                sampled[r] = null;
                errors[r] = null;
            }
        }
    }
}
