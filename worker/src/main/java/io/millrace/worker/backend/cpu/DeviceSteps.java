package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingFailures;
import io.millrace.worker.sampling.SamplingRow;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Steps whose ids are chosen on the device, {@code mr_submit} and {@code mr_collect}: only ids come back, and the logits of rows that want them. Rows
 * that ask for more than the device gives are sampled here. Confined to the engine's thread.
 */
final class DeviceSteps implements AutoCloseable {

    private static final int TOP = 32;
    private static final int TOP_IDS_AT = 32;
    private static final int TOP_LOGITS_AT = TOP_IDS_AT + 4 * TOP;
    private static final int SAMPLED_BYTES = TOP_LOGITS_AT + 4 * TOP + 8;

    private static final int CHOSEN = 1;
    private static final int BROKEN = 2;
    private static final int EMPTY = 3;
    private static final int REFUSED = 4;

    private final NativeKernels kernels;
    private final long model;
    private final int vocabulary;
    private final StepBuffer buffer;
    private final ChoiceBuffer choices = new ChoiceBuffer();
    private final NativeRoom sampled = new NativeRoom();
    private final NativeRoom logits = new NativeRoom();
    private final Deque<@Nullable SamplingRow[]> flying = new ArrayDeque<>();
    private @Nullable Sampler host;

    DeviceSteps(NativeKernels kernels, long model, int groups, int vocabulary) {
        this.kernels = kernels;
        this.model = model;
        this.vocabulary = vocabulary;
        this.buffer = new StepBuffer(groups, 0);
    }

    /** Whether the device chooses the row's id. */
    static boolean chooses(SamplingRow row) {
        return row.params().logprobs() <= TOP;
    }

    private static boolean comesBack(@Nullable SamplingRow row) {
        return row == null || row.wantLogits() || !chooses(row);
    }

    void submit(StepInputs in, MemorySegment error) {
        MemorySegment step = buffer.write(in, in.tokens());
        choices.write(in.sampling());
        try {
            kernels.submit(model, step, choices.rows(), choices.words(), error);
        } catch (MillraceException e) {
            forget();
            throw e;
        }
        flying.add(in.sampling());
    }

    StepOutputs collect(MemorySegment error) {
        @Nullable SamplingRow[] rows = Objects.requireNonNull(flying.poll(), "no step is submitted");
        int back = 0;
        for (SamplingRow row : rows) {
            back += comesBack(row) ? 1 : 0;
        }
        MemorySegment out = sampled.of((long) rows.length * SAMPLED_BYTES);
        MemorySegment raw = logits.of((long) back * vocabulary * Float.BYTES);
        try {
            kernels.collect(model, out, raw, error);
        } catch (MillraceException e) {
            forget();
            throw e;
        }
        @Nullable SampledToken[] tokens = new SampledToken[rows.length];
        float[][] kept = new float[rows.length][];
        @Nullable MillraceException[] errors = new MillraceException[rows.length];
        int at = 0;
        for (int r = 0; r < rows.length; r++) {
            SamplingRow row = rows[r];
            if (comesBack(row)) {
                kept[r] = new float[vocabulary];
                MemorySegment.copy(raw, JAVA_FLOAT, (long) at++ * vocabulary * Float.BYTES, kept[r], 0, vocabulary);
            }
            if (row == null) {
                continue;
            }
            try {
                tokens[r] = chooses(row) ? token(out.asSlice((long) r * SAMPLED_BYTES), row) : host(kept[r], row);
            } catch (MillraceException e) {
                errors[r] = e;
            }
            if (!row.wantLogits()) {
                kept[r] = null;
            }
        }
        return StepOutputs.verified(rows, tokens, back == 0 ? null : kept, errors);
    }

    private SampledToken host(float[] row, SamplingRow how) {
        if (host == null) {
            host = new Sampler(vocabulary);
        }
        return host.sample(row, how);
    }

    /** Null of a row that is refused. */
    private @Nullable SampledToken token(MemorySegment out, SamplingRow row) {
        int status = out.get(JAVA_INT, 12);
        if (status == BROKEN) {
            throw SamplingFailures.broken(out.get(JAVA_INT, 24), out.get(JAVA_FLOAT, 28), vocabulary, row);
        }
        if (status == EMPTY) {
            throw SamplingFailures.noneLeft(vocabulary, row);
        }
        if (status == REFUSED) {
            return null;
        }
        if (status != CHOSEN) {
            throw new IllegalStateException("the kernels left a row with status " + status);
        }
        int id = out.get(JAVA_INT, 16);
        if (row.params().logprobs() < 0) {
            return SampledToken.bare(id);
        }
        int count = Math.min(row.params().logprobs(), vocabulary);
        int[] ids = new int[count];
        float[] best = new float[count];
        MemorySegment.copy(out, JAVA_INT, TOP_IDS_AT, ids, 0, count);
        MemorySegment.copy(out, JAVA_FLOAT, TOP_LOGITS_AT, best, 0, count);
        return SampledToken.of(id, out.get(JAVA_FLOAT, 20), ids, best, out.get(JAVA_FLOAT, 8), out.get(JAVA_DOUBLE, 0));
    }

    /** A call has failed, and the kernels have forgotten what was submitted. */
    void forget() {
        flying.clear();
    }

    @Override
    public void close() {
        buffer.close();
        choices.close();
        sampled.close();
        logits.close();
    }
}
