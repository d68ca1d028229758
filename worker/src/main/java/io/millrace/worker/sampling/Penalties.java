package io.millrace.worker.sampling;

import java.util.Arrays;
import java.util.Map;

/** Logit bias, penalties, suppressed ids and what a grammar forbids, written into a copy of the logits. Not thread-safe. */
final class Penalties {

    private final int[] outputCount;
    private final boolean[] seen;

    Penalties(int vocabulary) {
        outputCount = new int[vocabulary];
        seen = new boolean[vocabulary];
    }

    /** Bias, then repetition (prompt and output), frequency and presence (output only), then to -infinity what may not be chosen. */
    void apply(float[] logits, SamplingRow row) {
        SamplingParams p = row.params();
        for (Map.Entry<Integer, Float> bias : p.logitBias().entrySet()) {
            int id = bias.getKey();
            if (id >= 0 && id < seen.length) {
                logits[id] += bias.getValue();
            }
        }
        if (row.usesHistory()) {
            penalise(logits, p, row.history());
        }
        for (int id : row.suppressed()) {
            if (id >= 0 && id < seen.length) {
                logits[id] = Float.NEGATIVE_INFINITY;
            }
        }
        if (row.mask() != null) {
            forbid(logits, row.mask().words());
        }
    }

    private static void forbid(float[] logits, int[] allowed) {
        for (int word = 0; word < allowed.length; word++) {
            int bits = allowed[word];
            if (bits == -1) {
                continue;
            }
            int from = word * 32;
            int to = Math.min(from + 32, logits.length);
            if (bits == 0) {
                Arrays.fill(logits, from, to, Float.NEGATIVE_INFINITY);
                continue;
            }
            for (int id = from; id < to; id++) {
                if ((bits >>> (id - from) & 1) == 0) {
                    logits[id] = Float.NEGATIVE_INFINITY;
                }
            }
        }
    }

    private void penalise(float[] logits, SamplingParams p, TokenHistory history) {
        int length = history.length();
        for (int i = history.promptLength(); i < length; i++) {
            int id = history.get(i);
            if (id >= 0 && id < seen.length) {
                outputCount[id]++;
            }
        }
        for (int i = 0; i < length; i++) {
            int id = history.get(i);
            if (id < 0 || id >= seen.length || seen[id]) {
                continue;
            }
            seen[id] = true;
            float v = logits[id];
            v = v > 0 ? v / p.repetitionPenalty() : v * p.repetitionPenalty();
            if (outputCount[id] > 0) {
                v -= p.frequencyPenalty() * outputCount[id] + p.presencePenalty();
            }
            logits[id] = v;
        }
        for (int i = 0; i < length; i++) {
            int id = history.get(i);
            if (id >= 0 && id < seen.length) {
                seen[id] = false;
                outputCount[id] = 0;
            }
        }
    }
}
