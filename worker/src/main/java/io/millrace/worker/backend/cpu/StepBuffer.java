package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.backend.StepInputs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A step's inputs and logits in native memory, {@code mr_step}. Grows, is used again; confined to the engine's thread. */
final class StepBuffer implements AutoCloseable {

    /** Four ints, eight pointers. */
    private static final int STEP_BYTES = 4 * 4 + 8 * 8;

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
        this.step = arena.allocate(STEP_BYTES, 8);
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
        step.set(JAVA_INT, 0, rows);
        step.set(JAVA_INT, 4, sequences);
        step.set(JAVA_INT, 8, in.logitRows().length);
        step.set(JAVA_INT, 12, width);
        Cursor cursor = new Cursor();
        cursor.pointer(0);
        cursor.put(tokens, rows);
        cursor.pointer(1);
        cursor.put(in.positions(), rows);
        cursor.pointer(2);
        for (int[] slots : in.slotMapping()) {
            cursor.put(slots, rows);
        }
        cursor.pointer(3);
        cursor.put(in.queryStart(), sequences + 1);
        cursor.pointer(4);
        cursor.put(in.contextLen(), sequences);
        cursor.pointer(5);
        for (int[][] group : in.blockTable()) {
            for (int[] blocks : group) {
                cursor.put(blocks, width);
            }
        }
        cursor.pointer(6);
        cursor.put(in.logitRows(), in.logitRows().length);
        step.set(JAVA_LONG, 16 + 7 * 8, logits.address());
        return step;
    }

    /** The logits of the step that was written last, row by row; valid until the next. */
    MemorySegment logits() {
        return logits;
    }

    private final class Cursor {
        private long at;

        void pointer(int index) {
            step.set(JAVA_LONG, 16 + 8L * index, ints.address() + 4 * at);
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
        step = larger.allocate(STEP_BYTES, 8);
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
