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

    private static final long SAMPLED_BYTES = Structs.SAMPLED.byteSize();
    private static final long SUM = at("sum");
    private static final long MOST = at("most");
    private static final long STATUS = at("status");
    private static final long ID = at("id");
    private static final long LOGIT = at("logit");
    private static final long BAD = at("bad");
    private static final long BAD_LOGIT = at("bad_logit");
    private static final long TOP_IDS = at("top_ids");
    private static final long TOP_LOGITS = at("top_logits");

    static final int CHOSEN = 1;
    static final int BROKEN = 2;
    static final int EMPTY = 3;
    static final int REFUSED = 4;

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

    private static long at(String field) {
        return Structs.at(Structs.SAMPLED, field);
    }

    /** Whether the device chooses the row's id. */
    static boolean chooses(SamplingRow row) {
        return row.params().logprobs() <= Structs.TOP;
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
        MemorySegment out = sampled.of(rows.length * SAMPLED_BYTES);
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
                tokens[r] =
                        chooses(row) ? token(out.asSlice(r * SAMPLED_BYTES, SAMPLED_BYTES), row) : host(kept[r], row);
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
        int status = out.get(JAVA_INT, STATUS);
        if (status == BROKEN) {
            throw SamplingFailures.broken(out.get(JAVA_INT, BAD), out.get(JAVA_FLOAT, BAD_LOGIT), vocabulary, row);
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
        int id = out.get(JAVA_INT, ID);
        if (row.params().logprobs() < 0) {
            return SampledToken.bare(id);
        }
        int count = Math.min(row.params().logprobs(), vocabulary);
        int[] ids = new int[count];
        float[] best = new float[count];
        MemorySegment.copy(out, JAVA_INT, TOP_IDS, ids, 0, count);
        MemorySegment.copy(out, JAVA_FLOAT, TOP_LOGITS, best, 0, count);
        return SampledToken.of(
                id, out.get(JAVA_FLOAT, LOGIT), ids, best, out.get(JAVA_FLOAT, MOST), out.get(JAVA_DOUBLE, SUM));
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
