package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.backend.StepInputs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A step's inputs and logits in native memory, {@code mr_step}. Grows, is used again; confined to the engine's thread. */
final class StepBuffer implements AutoCloseable {

    private static final long ROWS = Structs.at(Structs.STEP, "rows");
    private static final long SEQUENCES = Structs.at(Structs.STEP, "sequences");
    private static final long LOGIT_ROWS = Structs.at(Structs.STEP, "logit_rows");
    private static final long TABLE_WIDTH = Structs.at(Structs.STEP, "table_width");
    private static final long TOKENS = Structs.at(Structs.STEP, "tokens");
    private static final long POSITIONS = Structs.at(Structs.STEP, "positions");
    private static final long SLOTS = Structs.at(Structs.STEP, "slots");
    private static final long QUERY_START = Structs.at(Structs.STEP, "query_start");
    private static final long CONTEXT_LEN = Structs.at(Structs.STEP, "context_len");
    private static final long BLOCK_TABLE = Structs.at(Structs.STEP, "block_table");
    private static final long LOGIT_ROW = Structs.at(Structs.STEP, "logit_row");
    private static final long LOGITS = Structs.at(Structs.STEP, "logits");

    private final int groups;
    private final int vocabulary;
    private Arena arena = Arena.ofShared();
    private MemorySegment step;
    private MemorySegment ints;
    private MemorySegment logits;

    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    StepBuffer(int groups, int vocabulary) {
        this.groups = groups;
        this.vocabulary = vocabulary;
        this.step = arena.allocate(Structs.STEP);
        this.ints = arena.allocate(JAVA_INT, 1);
        this.logits = arena.allocate(JAVA_FLOAT, 1);
    }

    /** Writes the inputs; {@code tokens} without references to the step before. */
    MemorySegment write(StepInputs in, int[] tokens) {
        int rows = in.rows();
        int sequences = in.sequences();
        int width = 0;
        for (int[][] group : in.blockTable()) {
            for (int[] blocks : group) {
                width = Math.max(width, blocks.length);
            }
        }
        long needed = 2L * rows
                + (long) groups * rows
                + 2L * sequences
                + 1
                + (long) groups * sequences * width
                + in.logitRows().length;
        room(needed, (long) in.logitRows().length * vocabulary);
        step.set(JAVA_INT, ROWS, rows);
        step.set(JAVA_INT, SEQUENCES, sequences);
        step.set(JAVA_INT, LOGIT_ROWS, in.logitRows().length);
        step.set(JAVA_INT, TABLE_WIDTH, width);
        Cursor cursor = new Cursor();
        cursor.pointer(TOKENS);
        cursor.put(tokens, rows);
        cursor.pointer(POSITIONS);
        cursor.put(in.positions(), rows);
        cursor.pointer(SLOTS);
        for (int[] slots : in.slotMapping()) {
            cursor.put(slots, rows);
        }
        cursor.pointer(QUERY_START);
        cursor.put(in.queryStart(), sequences + 1);
        cursor.pointer(CONTEXT_LEN);
        cursor.put(in.contextLen(), sequences);
        cursor.pointer(BLOCK_TABLE);
        for (int[][] group : in.blockTable()) {
            for (int[] blocks : group) {
                cursor.put(blocks, width);
            }
        }
        cursor.pointer(LOGIT_ROW);
        cursor.put(in.logitRows(), in.logitRows().length);
        step.set(JAVA_LONG, LOGITS, logits.address());
        return step;
    }

    /** The logits of the step that was written last, row by row; valid until the next. */
    MemorySegment logits() {
        return logits;
    }

    private final class Cursor {
        private long at;

        /** The field there points to what is put next. */
        void pointer(long field) {
            step.set(JAVA_LONG, field, ints.address() + 4 * at);
        }

        /** The array, filled up to {@code length} with -1. */
        void put(int[] values, int length) {
            int n = Math.min(values.length, length);
            MemorySegment.copy(values, 0, ints, JAVA_INT, 4 * at, n);
            for (int i = n; i < length; i++) {
                ints.setAtIndex(JAVA_INT, at + i, -1);
            }
            at += length;
        }
    }

    @SuppressWarnings("MustBeClosedChecker")
    private void room(long intCount, long logitCount) {
        boolean fits = ints.byteSize() >= 4 * intCount && logits.byteSize() >= 4 * logitCount;
        if (fits) {
            return;
        }
        Arena larger = Arena.ofShared();
        step = larger.allocate(Structs.STEP);
        ints = larger.allocate(JAVA_INT, Math.max(ints.byteSize() / 4, 2 * intCount));
        logits = larger.allocate(JAVA_FLOAT, Math.max(logits.byteSize() / 4, logitCount));
        arena.close();
        arena = larger;
    }

    @Override
    public void close() {
        arena.close();
    }
}
