package io.millrace.worker.backend;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.sampling.Drafts;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingRow;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What a step gives back.
 *
 * @param sampled [R] the id chosen for each logit row, with its log probabilities where asked for; null where the row's
 *     sampling was null or failed, or verifies what follows a draft that was not chosen ({@link Drafts})
 * @param logits [R][vocabulary] raw float32 logits, only of rows whose sampling was null or asked for them; otherwise null
 * @param errors [R] why a row could not be sampled (a NaN, nothing left to choose): its own failure, not the step's; null when
 *     no row failed
 * @param pooled [S][n] what a program that pools gives, one row for each sequence; null of one that samples
 */
public record StepOutputs(
        @Nullable SampledToken[] sampled,
        float @Nullable [][] logits,
        @Nullable MillraceException @Nullable [] errors,
        float @Nullable [][] pooled) {

    /** Of a program that samples. */
    public StepOutputs(
            @Nullable SampledToken[] sampled,
            float @Nullable [][] logits,
            @Nullable MillraceException @Nullable [] errors) {
        this(sampled, logits, errors, null);
    }

    /** Of a program that pools. */
    public static StepOutputs pooled(float[][] rows) {
        return new StepOutputs(new SampledToken[0], null, null, rows);
    }

    /** No row failed. */
    public StepOutputs(@Nullable SampledToken[] sampled, float @Nullable [][] logits) {
        this(sampled, logits, null);
    }

    /**
     * Samples every row on the host.
     *
     * @param logits [R * vocabulary] row by row, in the order of {@code rows}
     * @param rows [R] as {@link StepInputs#sampling}
     */
    public static StepOutputs sample(Sampler sampler, float[] logits, int vocabulary, @Nullable SamplingRow[] rows) {
        SampledToken[] sampled = new SampledToken[rows.length];
        float[][] raw = null;
        @Nullable MillraceException[] errors = new MillraceException[rows.length];
        for (int r = 0; r < rows.length; r++) {
            SamplingRow row = rows[r];
            int at = r * vocabulary;
            if (row == null || row.wantLogits()) {
                raw = raw == null ? new float[rows.length][] : raw;
                raw[r] = Arrays.copyOfRange(logits, at, at + vocabulary);
            }
            if (row == null) {
                continue;
            }
            try {
                sampled[r] = sampler.sample(logits, at, row);
            } catch (MillraceException e) {
                errors[r] = e;
            }
        }
        return StepOutputs.verified(rows, sampled, raw, errors);
    }

    /**
     * Of rows that have all been sampled: what verifies drafts in vain is taken back.
     *
     * @param errors [R] null where a row did not fail
     */
    public static StepOutputs verified(
            @Nullable SamplingRow[] rows,
            @Nullable SampledToken[] sampled,
            float @Nullable [][] logits,
            @Nullable MillraceException[] errors) {
        Drafts.refuse(rows, sampled, errors);
        boolean failed = Arrays.stream(errors).anyMatch(Objects::nonNull);
        return new StepOutputs(sampled, logits, failed ? errors : null);
    }
}
