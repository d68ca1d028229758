package io.millrace.worker.sampling;

/**
 * A chosen id.
 *
 * @param logprob natural log of its probability in the raw distribution; NaN when not asked for
 * @param topIds ids of the best tokens, best first; empty when not asked for
 * @param topLogprobs their log probabilities
 */
public record SampledToken(int id, float logprob, int[] topIds, float[] topLogprobs) {

    private static final int[] NO_IDS = {};
    private static final float[] NO_LOGPROBS = {};

    /** Without log probabilities. */
    public static SampledToken bare(int id) {
        return new SampledToken(id, Float.NaN, NO_IDS, NO_LOGPROBS);
    }

    /**
     * With log probabilities.
     *
     * @param logit the id's
     * @param topLogits of {@code topIds}
     * @param max the largest logit
     * @param sum of exp(logit - max) over all ids
     */
    public static SampledToken of(int id, float logit, int[] topIds, float[] topLogits, float max, double sum) {
        double logSum = StrictMath.log(sum);
        float[] logprobs = new float[topIds.length];
        for (int i = 0; i < logprobs.length; i++) {
            logprobs[i] = logprob(topLogits[i], max, logSum);
        }
        return new SampledToken(id, logprob(logit, max, logSum), topIds, logprobs);
    }

    private static float logprob(float logit, float max, double logSum) {
        return (float) ((double) logit - max - logSum);
    }
}
