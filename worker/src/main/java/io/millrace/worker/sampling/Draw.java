package io.millrace.worker.sampling;

import org.jspecify.annotations.Nullable;

/**
 * A row's choice as a few numbers, for those who draw ids outside of {@link Sampler} as it does: the weights are
 * {@code exp((x - largest) * scale)}, of which top-k, then top-p, then min-p leave some, and the id is the one at which their sum in the order of
 * ids exceeds {@code uniform} of the whole.
 *
 * @param scale 1 / temperature; 0: the lowest id of the largest logit
 * @param uniform in [0, 1)
 * @param topK 0 is off
 * @param topP 1 is off
 * @param minP 0 is off
 * @param draft as {@link SamplingRow#draft}
 */
public record Draw(double scale, double uniform, int topK, float topP, float minP, int draft) {

    /** Null for a row that wants more than an id, or changes its logits first, or is typical. */
    public static @Nullable Draw of(SamplingRow row) {
        SamplingParams p = row.params();
        if (row.wantLogits() || p.logprobs() >= 0 || p.typicalP() < 1 || row.changesLogits()) {
            return null;
        }
        if (p.temperature() == 0 || p.topK() == 1) {
            return new Draw(0, 0, 0, 1, 0, row.draft());
        }
        double uniform = Philox.uniform(row.seed(), row.choice(), row.position(), Philox.Purpose.SAMPLE);
        return new Draw(1.0 / p.temperature(), uniform, p.topK(), p.topP(), p.minP(), row.draft());
    }
}
