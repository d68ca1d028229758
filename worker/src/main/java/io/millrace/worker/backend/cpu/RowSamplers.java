package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.Draw;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingRow;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Samples the rows of a step, several at a time: a row's id is a function of the row alone, so it does not matter who does it. The kernels draw
 * for rows that want nothing but an id, {@link Sampler} does the others; both choose the same. One caller at a time.
 */
final class RowSamplers {

    /** Fewer rows are not worth waking a thread. */
    private static final int ALONE = 3;

    /** Of a row that verifies what follows a refused draft. */
    static final int REFUSED = -2;

    private static final int[] NO_IDS = {};
    private static final float[] NO_LOGPROBS = {};

    /** Of the kernels: an id for each row of [R][vocabulary] logits that has a draw. */
    @FunctionalInterface
    interface Drawing {

        /** Ids of the rows; negative where a row has no draw, or none can be chosen, {@link #REFUSED} where a draft before it was not. */
        int[] draw(MemorySegment logits, @Nullable Draw[] draws);
    }

    private final int vocabulary;
    private final boolean parallel;
    private final Drawing drawing;
    private final Deque<Sampler> idle = new ArrayDeque<>();

    /**
     * @param threads that may compute; with 1 the caller does all
     * @param drawing null where the kernels cannot
     */
    RowSamplers(int vocabulary, int threads, @Nullable Drawing drawing) {
        this.vocabulary = vocabulary;
        this.parallel = threads > 1;
        this.drawing = drawing == null ? RowSamplers::none : drawing;
    }

    private static int[] none(MemorySegment logits, @Nullable Draw[] draws) {
        int[] ids = new int[draws.length];
        Arrays.fill(ids, -1);
        return ids;
    }

    /** {@code logits}: [R][vocabulary] floats, in the order of {@code rows}. */
    StepOutputs sample(MemorySegment logits, @Nullable SamplingRow[] rows) {
        int n = rows.length;
        @Nullable SampledToken[] sampled = new SampledToken[n];
        float[][] raw = new float[n][];
        @Nullable MillraceException[] errors = new MillraceException[n];
        int[] left = leftByDrawing(logits, rows, sampled);
        IntStream all = Arrays.stream(left);
        (parallel && left.length > ALONE ? all.parallel() : all)
                .forEach(r -> one(logits, r, rows[r], sampled, raw, errors));
        boolean kept = false;
        for (int r = 0; r < n; r++) {
            kept |= raw[r] != null;
        }
        return StepOutputs.verified(rows, sampled, kept ? raw : null, errors);
    }

    /** Draws where that is enough; the rows that are left. */
    private int[] leftByDrawing(MemorySegment logits, @Nullable SamplingRow[] rows, @Nullable SampledToken[] sampled) {
        @Nullable Draw[] draws = new Draw[rows.length];
        for (int r = 0; r < rows.length; r++) {
            SamplingRow row = rows[r];
            draws[r] = row == null ? null : Draw.of(row);
        }
        int[] ids = drawing.draw(logits, draws);
        for (int r = 0; r < rows.length; r++) {
            if (ids[r] >= 0) {
                sampled[r] = new SampledToken(ids[r], Float.NaN, NO_IDS, NO_LOGPROBS);
            }
        }
        return IntStream.range(0, rows.length)
                .filter(r -> ids[r] < 0 && ids[r] != REFUSED)
                .toArray();
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
