package io.millrace.worker.sampling;

/**
 * A chosen id.
 *
 * @param logprob natural log of its probability in the raw distribution; NaN when not asked for
 * @param topIds ids of the best tokens, best first; empty when not asked for
 * @param topLogprobs their log probabilities
 */
public record SampledToken(int id, float logprob, int[] topIds, float[] topLogprobs) {}
