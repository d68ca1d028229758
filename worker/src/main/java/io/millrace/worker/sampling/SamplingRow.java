package io.millrace.worker.sampling;

import org.jspecify.annotations.Nullable;

/**
 * What one logit row needs to be sampled. The random numbers are Philox, keyed by the seed, counted by (position, choice,
 * purpose): never by the row of the batch.
 *
 * @param seed the request's
 * @param choice index of the choice
 * @param position absolute position of the token to be chosen
 * @param history ids so far, for the penalties; read-only view, may be shared
 * @param suppressed ids that may not be chosen now (eos before min_tokens, bad words); may be empty
 * @param wantLogits whether the raw logits come back as well
 * @param mask ids that a grammar allows; null: all
 * @param draft the id that was drafted to follow; the next row, of the same sequence, verifies it ({@link Drafts}); -1: none was
 */
public record SamplingRow(
        SamplingParams params,
        long seed,
        int choice,
        int position,
        TokenHistory history,
        int[] suppressed,
        boolean wantLogits,
        @Nullable TokenMask mask,
        int draft) {

    /** Without a draft. */
    public SamplingRow(
            SamplingParams params,
            long seed,
            int choice,
            int position,
            TokenHistory history,
            int[] suppressed,
            boolean wantLogits,
            @Nullable TokenMask mask) {
        this(params, seed, choice, position, history, suppressed, wantLogits, mask, -1);
    }

    /** Without a grammar. */
    public SamplingRow(
            SamplingParams params,
            long seed,
            int choice,
            int position,
            TokenHistory history,
            int[] suppressed,
            boolean wantLogits) {
        this(params, seed, choice, position, history, suppressed, wantLogits, null);
    }

    /** The same, and an id that was drafted to follow. */
    public SamplingRow withDraft(int id) {
        return new SamplingRow(params, seed, choice, position, history, suppressed, wantLogits, mask, id);
    }

    /** Whether anything changes the logits before an id is chosen. */
    public boolean changesLogits() {
        return mask != null || suppressed.length > 0 || !params.logitBias().isEmpty() || usesHistory();
    }

    /** Whether penalties do, so that the history counts. */
    public boolean usesHistory() {
        return params.presencePenalty() != 0 || params.frequencyPenalty() != 0 || params.repetitionPenalty() != 1;
    }
}
