package io.millrace.worker.backend;

import io.millrace.worker.sampling.SamplingRow;
import org.jspecify.annotations.Nullable;

/**
 * One step: a flat batch of token rows, no padding. T token rows of S sequences, R logit rows, G groups of KV layers.
 *
 * <p>A decode row, a chunk of a prefill and a draft to verify are the same thing with another query length. Arrays are owned
 * by the caller and not kept.
 *
 * @param tokens [T] token ids; a value {@code < 0} means "the id sampled by logit row {@code -1 - value} of the step before"
 * @param positions [T] absolute position of each row in its sequence
 * @param slotMapping [G][T] cache slot (block * blockTokens + offset) each row's K and V are written to
 * @param queryStart [S+1] first row of each sequence; the last entry is T
 * @param contextLen [S] tokens of the sequence in the cache after this step (so its rows are the last of them)
 * @param blockTable [G][S][B] blocks of the sequence in order; entries beyond its context are ignored
 * @param logitRows [R] rows whose logits are wanted; a row may occur several times (the n choices of a prompt)
 * @param sampling [R] how to choose the next id of each logit row; null: logits only
 * @param adapter [S] LoRA adapter of each sequence; 0 is none
 * @param types [T] segment of each row (0, or 1 in the second text of a pair); null: all 0
 */
public record StepInputs(
        int[] tokens,
        int[] positions,
        int[][] slotMapping,
        int[] queryStart,
        int[] contextLen,
        int[][][] blockTable,
        int[] logitRows,
        @Nullable SamplingRow[] sampling,
        int[] adapter,
        int @Nullable [] types) {

    /** Of one segment. */
    public StepInputs(
            int[] tokens,
            int[] positions,
            int[][] slotMapping,
            int[] queryStart,
            int[] contextLen,
            int[][][] blockTable,
            int[] logitRows,
            @Nullable SamplingRow[] sampling,
            int[] adapter) {
        this(tokens, positions, slotMapping, queryStart, contextLen, blockTable, logitRows, sampling, adapter, null);
    }

    /**
     * Whole inputs for a program that pools: no cache, nothing sampled.
     *
     * @param queryStart [S+1]
     * @param types [T]
     */
    public static StepInputs whole(int[] tokens, int[] queryStart, int[] types) {
        int sequences = queryStart.length - 1;
        int[] positions = new int[tokens.length];
        int[] contextLen = new int[sequences];
        for (int s = 0; s < sequences; s++) {
            contextLen[s] = queryStart[s + 1] - queryStart[s];
            for (int i = 0; i < contextLen[s]; i++) {
                positions[queryStart[s] + i] = i;
            }
        }
        return new StepInputs(
                tokens,
                positions,
                new int[0][],
                queryStart,
                contextLen,
                new int[0][][],
                new int[0],
                new SamplingRow[0],
                new int[sequences],
                types);
    }

    /** T. */
    public int rows() {
        return tokens.length;
    }

    /** S. */
    public int sequences() {
        return contextLen.length;
    }
}
