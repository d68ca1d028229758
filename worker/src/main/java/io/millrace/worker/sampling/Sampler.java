package io.millrace.worker.sampling;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * Chooses the next id of a logit row: a pure function of the logits and the row's {@link SamplingRow}, the same bits on every
 * machine and in every batch. Keeps scratch memory of a few times the vocabulary; not thread-safe, one a thread.
 *
 * <p>Order: logit bias, penalties and a grammar's mask on the raw logits, temperature, top-k, top-p (of what top-k left), min-p, typical. The draw
 * walks the remaining ids in ascending order.
 */
public final class Sampler {

    private static final int[] NO_IDS = {};

    private final int vocabulary;
    private final float[] raw;
    private final float[] work;
    private final float[] weights;
    private final Exponential exponential;
    private final Penalties penalties;
    private final Candidates candidates;

    /** @param vocabulary logits of a row */
    public Sampler(int vocabulary) {
        this.vocabulary = vocabulary;
        this.raw = new float[vocabulary];
        this.work = new float[vocabulary];
        this.weights = new float[vocabulary];
        this.exponential = new Exponential(vocabulary);
        this.penalties = new Penalties(vocabulary);
        this.candidates = new Candidates(vocabulary);
    }

    public SampledToken sample(float[] logits, SamplingRow row) {
        return sample(logits, 0, row);
    }

    /** The row's logits are float32 in native order at a byte offset. */
    public SampledToken sample(MemorySegment logits, long byteOffset, SamplingRow row) {
        MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT_UNALIGNED, byteOffset, raw, 0, vocabulary);
        return sample(raw, 0, row);
    }

    /**
     * Chooses from {@code logits[offset .. offset + vocabulary)}, which is not changed.
     *
     * @throws MillraceException MR-SAMPLING-001 when a logit is NaN or +infinity, MR-SAMPLING-002 when no id is left to choose
     */
    public SampledToken sample(float[] logits, int offset, SamplingRow row) {
        int best = best(logits, offset, row);
        float max = logits[offset + best];
        int chosen = choose(logits, offset, best, row);
        int k = row.params().logprobs();
        return k < 0 ? SampledToken.bare(chosen) : withLogprobs(logits, offset, max, chosen, k);
    }

    /** The id with its log probability and the k best of the row, for an id that is known already (prompt log probabilities). */
    public SampledToken score(float[] logits, int offset, int id, int k) {
        int best = argmax(logits, offset);
        if (best < 0) {
            int bad = broken(logits, offset);
            throw SamplingFailures.brokenPrompt(bad, logits[offset + bad], vocabulary);
        }
        return withLogprobs(logits, offset, logits[offset + best], id, k);
    }

    private int choose(float[] logits, int offset, int best, SamplingRow row) {
        float[] x = logits;
        int from = offset;
        int top = best;
        if (row.changesLogits()) {
            System.arraycopy(logits, offset, work, 0, vocabulary);
            penalties.apply(work, row);
            x = work;
            from = 0;
            top = best(work, 0, row);
        }
        if (x[from + top] == Float.NEGATIVE_INFINITY) {
            throw SamplingFailures.noneLeft(vocabulary, row);
        }
        SamplingParams p = row.params();
        return p.temperature() == 0 || p.topK() == 1 ? top : draw(x, from, x[from + top], row);
    }

    private int draw(float[] x, int offset, float max, SamplingRow row) {
        SamplingParams p = row.params();
        double total = exponential.weights(x, offset, vocabulary, max, 1.0 / p.temperature(), weights);
        double u = Philox.uniform(row.seed(), row.choice(), row.position(), Philox.Purpose.SAMPLE);
        boolean topK = p.topK() > 0 && p.topK() < vocabulary;
        boolean topP = p.topP() < 1;
        if (!topK && !topP && p.minP() <= 0 && p.typicalP() >= 1) {
            return drawFromAll(u, total);
        }
        if (topK) {
            candidates.gather(weights, vocabulary, p.topK(), 0, topP ? 0 : p.minP());
            candidates.keepTopK(p.topK());
        } else {
            candidates.gather(weights, vocabulary, 1, topP ? p.topP() * total : total, p.minP());
        }
        if (topP) {
            candidates.keepTopMass(p.topP() * (topK ? candidates.mass() : total));
        }
        if (p.minP() > 0) {
            candidates.keepAtLeast(p.minP());
        }
        if (p.typicalP() < 1) {
            candidates.keepTypical(p.typicalP());
        }
        return candidates.draw(u);
    }

    private int drawFromAll(double u, double total) {
        double[] chunkSums = exponential.chunkSums();
        double target = u * total;
        double sum = 0;
        for (int chunk = 0, from = 0; from < vocabulary; chunk++, from += Exponential.CHUNK) {
            if (sum + chunkSums[chunk] <= target) {
                sum += chunkSums[chunk];
                continue;
            }
            int end = Math.min(vocabulary, from + Exponential.CHUNK);
            for (int i = from; i < end; i++) {
                sum += weights[i];
                if (sum > target) {
                    return i;
                }
            }
        }
        return lastWithWeight();
    }

    /** Where u times the whole was rounded up to the whole. */
    private int lastWithWeight() {
        int last = vocabulary - 1;
        while (weights[last] == 0) {
            last--;
        }
        return last;
    }

    private int best(float[] x, int offset, SamplingRow row) {
        int best = argmax(x, offset);
        if (best < 0) {
            int bad = broken(x, offset);
            throw SamplingFailures.broken(bad, x[offset + bad], vocabulary, row);
        }
        return best;
    }

    private int broken(float[] x, int offset) {
        int bad = 0;
        while (bad < vocabulary && x[offset + bad] < Float.POSITIVE_INFINITY) {
            bad++;
        }
        return bad;
    }

    /** The lowest id of the largest logit; -1 when one is NaN or +infinity. */
    private int argmax(float[] x, int offset) {
        float max = Float.NEGATIVE_INFINITY;
        int best = 0;
        for (int i = 0; i < vocabulary; i++) {
            float v = x[offset + i];
            if (!(v <= max)) {
                if (!(v < Float.POSITIVE_INFINITY)) {
                    return -1;
                }
                max = v;
                best = i;
            }
        }
        return best;
    }

    private SampledToken withLogprobs(float[] x, int offset, float max, int id, int k) {
        double sum = exponential.apply(x, offset, vocabulary, max, 1, weights);
        int count = Math.min(k, vocabulary);
        int[] ids = count == 0 ? NO_IDS : largest(x, offset, count);
        float[] best = new float[count];
        for (int i = 0; i < count; i++) {
            best[i] = x[offset + ids[i]];
        }
        return SampledToken.of(id, x[offset + id], ids, best, max, sum);
    }

    /** Ids of the largest values, largest first, the lower id of equals first. */
    private int[] largest(float[] x, int offset, int count) {
        int[] ids = new int[count];
        Arrays.fill(ids, -1);
        int found = 0;
        float least = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < vocabulary; i++) {
            float v = x[offset + i];
            if (found == count && v <= least) {
                continue;
            }
            int at = found < count ? found++ : count - 1;
            while (at > 0 && x[offset + ids[at - 1]] < v) {
                ids[at] = ids[at - 1];
                at--;
            }
            ids[at] = i;
            least = x[offset + ids[found - 1]];
        }
        return ids;
    }
}
