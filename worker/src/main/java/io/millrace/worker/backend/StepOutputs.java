package io.millrace.worker.backend;

import io.millrace.worker.sampling.SampledToken;
import org.jspecify.annotations.Nullable;

/**
 * What a step gives back.
 *
 * @param sampled [R] the id chosen for each logit row, with its log probabilities where asked for; null where the row's
 *     sampling was null
 * @param logits [R][vocabulary] raw float32 logits, only of rows whose sampling was null or asked for them; otherwise null
 */
public record StepOutputs(@Nullable SampledToken[] sampled, float @Nullable [][] logits) {}
