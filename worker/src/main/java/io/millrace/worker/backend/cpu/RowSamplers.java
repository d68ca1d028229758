package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingRow;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Samples the rows of a step, several at a time: a row's id is a function of the row alone, so it does not matter who does it. One
 * caller at a time.
 */
final class RowSamplers {

    /** Fewer rows are not worth waking a thread. */
    private static final int ALONE = 3;

    private final int vocabulary;
    private final boolean parallel;
    private final Deque<Sampler> idle = new ArrayDeque<>();

    /** @param threads that may compute; with 1 the caller does all */
    RowSamplers(int vocabulary, int threads) {
        this.vocabulary = vocabulary;
        this.parallel = threads > 1;
    }

    /** {@code logits}: [R][vocabulary] floats, in the order of {@code rows}. */
    StepOutputs sample(MemorySegment logits, @Nullable SamplingRow[] rows) {
        int n = rows.length;
        @Nullable SampledToken[] sampled = new SampledToken[n];
        float[][] raw = new float[n][];
        @Nullable MillraceException[] errors = new MillraceException[n];
        IntStream all = IntStream.range(0, n);
        (parallel && n > ALONE ? all.parallel() : all).forEach(r -> one(logits, r, rows[r], sampled, raw, errors));
        boolean kept = false;
        boolean failed = false;
        for (int r = 0; r < n; r++) {
            kept |= raw[r] != null;
            failed |= errors[r] != null;
        }
        return new StepOutputs(sampled, kept ? raw : null, failed ? errors : null);
    }

    private void one(
            MemorySegment logits,
            int r,
            @Nullable SamplingRow row,
            @Nullable SampledToken[] sampled,
            float[][] raw,
            @Nullable MillraceException[] errors) {
        long at = (long) r * vocabulary * Float.BYTES;
        if (row == null || row.wantLogits()) {
            raw[r] = new float[vocabulary];
            MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, at, raw[r], 0, vocabulary);
        }
        if (row == null) {
            return;
        }
        Sampler sampler = take();
        try {
            sampled[r] = sampler.sample(logits, at, row);
        } catch (MillraceException e) {
            errors[r] = e;
        } finally {
            give(sampler);
        }
    }

    private synchronized Sampler take() {
        Sampler sampler = idle.poll();
        return sampler == null ? new Sampler(vocabulary) : sampler;
    }

    private synchronized void give(Sampler sampler) {
        idle.push(sampler);
    }
}
