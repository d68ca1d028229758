package io.millrace.worker.backend;

import io.millrace.worker.sampling.SampledToken;
import org.jspecify.annotations.Nullable;

/**
 * The ids that the rows of the last step have chosen: a token of the next may name such a row, as {@code -1 - row}. Confined to the
 * engine's thread.
 */
public final class ChosenIds {

    private int[] last = {};

    /** @param sampled what each logit row of a step has chosen */
    public void keep(@Nullable SampledToken[] sampled) {
        last = new int[sampled.length];
        for (int r = 0; r < sampled.length; r++) {
            SampledToken token = sampled[r];
            last[r] = token == null ? -1 : token.id();
        }
    }

    /** The ids of tokens. IllegalArgumentException when one names a row that has chosen none. */
    public int[] of(int[] tokens) {
        int[] ids = tokens.clone();
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0) {
                int row = -1 - ids[i];
                if (row >= last.length || last[row] < 0) {
                    throw new IllegalArgumentException(
                            "token " + i + " names row " + row + " of the step before, which sampled nothing there");
                }
                ids[i] = last[row];
            }
        }
        return ids;
    }
}
