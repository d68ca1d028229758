package io.millrace.worker.sampling;

import java.util.Map;

/**
 * How the next id is chosen from logits; validated, with the model's defaults already filled in.
 *
 * <p>Order: logit bias and penalties on the raw logits, then temperature, top-k, top-p, min-p, typical. Presence and frequency
 * penalties count output tokens only; the repetition penalty counts prompt and output. Log probabilities are of the raw
 * distribution.
 *
 * @param temperature 0 is greedy (the lowest id wins a tie)
 * @param topK 0 is off
 * @param topP 1 is off
 * @param minP 0 is off
 * @param typicalP 1 is off
 * @param presencePenalty 0 is off
 * @param frequencyPenalty 0 is off
 * @param repetitionPenalty 1 is off
 * @param logprobs -1 is none; k: the chosen token's and the k best
 */
public record SamplingParams(
        float temperature,
        int topK,
        float topP,
        float minP,
        float typicalP,
        float presencePenalty,
        float frequencyPenalty,
        float repetitionPenalty,
        Map<Integer, Float> logitBias,
        int logprobs) {

    /** Greedy, nothing else. */
    public static final SamplingParams GREEDY = new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(), -1);
}
