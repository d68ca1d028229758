package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenHistory;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** How a step's ids are to be chosen, in native memory: {@code mr_sampling} of each row, and the words it refers to. Used again. */
final class ChoiceBuffer implements AutoCloseable {

    private static final long ROW_BYTES = Structs.SAMPLING.byteSize();
    private static final int CHOOSES = word("chooses");
    private static final int TEMPERATURE = word("temperature");
    private static final int TOP_K = word("top_k");
    private static final int TOP_P = word("top_p");
    private static final int SEED = word("seed_low");
    private static final int HISTORY = word("history_at");
    private static final int BIAS = word("bias_at");
    private static final int SUPPRESSED = word("suppressed_at");
    private static final int MASK = word("mask_at");
    private static final int DRAFT = word("draft");

    private final NativeRoom rowRoom = new NativeRoom();
    private final NativeRoom wordRoom = new NativeRoom();
    private MemorySegment rows = MemorySegment.NULL;
    private int[] words = new int[256];
    private int count;

    private static int word(String field) {
        return Structs.word(Structs.SAMPLING, field);
    }

    /** Writes the rows of a step; null: nothing is chosen. */
    void write(@Nullable SamplingRow[] sampling) {
        count = 0;
        rows = rowRoom.of(sampling.length * ROW_BYTES);
        rows.fill((byte) 0);
        for (int r = 0; r < sampling.length; r++) {
            SamplingRow row = sampling[r];
            if (row != null && DeviceSteps.chooses(row)) {
                MemorySegment to = rows.asSlice(r * ROW_BYTES, ROW_BYTES);
                write(to, row);
                SamplingRow next = r + 1 < sampling.length ? sampling[r + 1] : null;
                put(to, DRAFT, next != null && DeviceSteps.chooses(next) ? row.draft() : -1);
            }
        }
    }

    MemorySegment rows() {
        return rows;
    }

    MemorySegment words() {
        MemorySegment out = wordRoom.of((long) count * Integer.BYTES);
        MemorySegment.copy(words, 0, out, JAVA_INT, 0, count);
        return out;
    }

    private void write(MemorySegment to, SamplingRow row) {
        SamplingParams p = row.params();
        put(to, CHOOSES, 1, row.wantLogits() ? 1 : 0, row.changesLogits() ? 1 : 0, p.logprobs());
        to.setAtIndex(JAVA_FLOAT, TEMPERATURE, p.temperature());
        to.setAtIndex(JAVA_INT, TOP_K, p.topK());
        float[] more = {
            p.topP(), p.minP(), p.typicalP(), p.presencePenalty(), p.frequencyPenalty(), p.repetitionPenalty()
        };
        MemorySegment.copy(more, 0, to, JAVA_FLOAT, 4L * TOP_P, more.length);
        put(to, SEED, (int) row.seed(), (int) (row.seed() >>> 32), row.choice(), row.position());
        writeHistory(to, row);
        int biased = count;
        for (int id : p.logitBias().keySet()) {
            add(id);
        }
        for (Map.Entry<Integer, Float> bias : p.logitBias().entrySet()) {
            add(Float.floatToRawIntBits(bias.getValue()));
        }
        put(to, BIAS, biased, p.logitBias().size());
        put(to, SUPPRESSED, count, row.suppressed().length);
        add(row.suppressed());
        put(to, MASK, row.mask() == null ? -1 : count);
        if (row.mask() != null) {
            add(row.mask().words());
        }
    }

    /** An id at the end that is negative names a row of the step before. */
    private void writeHistory(MemorySegment to, SamplingRow row) {
        if (!row.usesHistory()) {
            put(to, HISTORY, 0, 0, 0, -1);
            return;
        }
        TokenHistory history = row.history();
        int length = history.length();
        int last = length > 0 ? history.get(length - 1) : 0;
        int known = last < 0 ? length - 1 : length;
        put(to, HISTORY, count, known, Math.min(known, history.promptLength()), last < 0 ? -1 - last : -1);
        add(history.first(known));
    }

    private static void put(MemorySegment to, int from, int... values) {
        MemorySegment.copy(values, 0, to, JAVA_INT, 4L * from, values.length);
    }

    private void add(int... values) {
        if (count + values.length > words.length) {
            words = Arrays.copyOf(words, Math.max(count + values.length, 2 * words.length));
        }
        System.arraycopy(values, 0, words, count, values.length);
        count += values.length;
    }

    @Override
    public void close() {
        rowRoom.close();
        wordRoom.close();
    }
}
