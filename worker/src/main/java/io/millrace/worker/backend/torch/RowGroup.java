package io.millrace.worker.backend.torch;

import ai.djl.ndarray.index.NDIndex;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.program.Op;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A run of the step's rows that one thread computes, with the activations of those rows. In a group of fewer than {@link
 * Pt#MIN_ROWS} the last row is computed again, so that products have the same bits.
 */
final class RowGroup {

    /** What the rows of a group need for one attention geometry (KV group, window). */
    record Geometry(List<AttentionPart> parts, @Nullable PtNDArray order) {}

    /** Factors of a rotation, [rows, 1, 2, half] or [rows, 1, half, 2]. */
    record Turn(PtNDArray cos, PtNDArray sin) {}

    private final int from;
    private final int real;
    private final PtNDManager manager;
    private final PtNDArray[] activations;
    private final Map<Long, Geometry> geometries = new HashMap<>();
    private final Map<Integer, NDIndex> slotRows = new HashMap<>();
    private final Map<Long, WholeAttention> whole = new HashMap<>();
    private final PtNDArray tokens;
    private final Map<Long, Turn> turns = new HashMap<>();

    /**
     * @param from first row of the step
     * @param to behind the last
     * @param ids of all rows of the step, none of them negative
     */
    RowGroup(PtNDManager manager, int from, int to, int[] ids, int activations) {
        this.manager = manager;
        this.from = from;
        this.real = to - from;
        this.activations = new PtNDArray[activations];
        long[] values = new long[rows()];
        for (int i = 0; i < values.length; i++) {
            values[i] = ids[stepRow(i)];
        }
        this.tokens = Pt.longs(manager, values);
    }

    /** Rows computed. */
    int rows() {
        return Math.max(real, Pt.MIN_ROWS);
    }

    int from() {
        return from;
    }

    /** Rows of the step in this group. */
    int realRows() {
        return real;
    }

    /** The step's row that row {@code i} of the group is. */
    int stepRow(int i) {
        return from + Math.min(i, real - 1);
    }

    PtNDManager manager() {
        return manager;
    }

    PtNDArray tokens() {
        return tokens;
    }

    /** [rows] of each row what stands for it in a [T] array of the step, plus {@code offset}; all 0 for null. */
    PtNDArray ofRows(int @Nullable [] step, int offset) {
        long[] values = new long[rows()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (step == null ? 0L : step[stepRow(i)]) + offset;
        }
        return Pt.longs(manager, values);
    }

    WholeAttention whole(Op.SelfAttention op) {
        return Objects.requireNonNull(whole.get(WholeAttention.key(op)));
    }

    void plan(Op.SelfAttention op, StepInputs in) {
        whole.computeIfAbsent(WholeAttention.key(op), key -> new WholeAttention(op, in, this));
    }

    PtNDArray get(int handle) {
        return Objects.requireNonNull(activations[handle], "activation is not there");
    }

    void put(int handle, PtNDArray value) {
        activations[handle] = value;
    }

    void free(int handle) {
        PtNDArray array = activations[handle];
        if (array != null) {
            array.close();
            activations[handle] = null;
        }
    }

    /** Makes the factors that an op needs, unless they are there. */
    void turn(Op.Rope op, RopeTable table, int[] positions) {
        if (turns.containsKey(key(op))) {
            return;
        }
        int half = table.half();
        float[] c = new float[rows() * 2 * half];
        float[] s = new float[c.length];
        for (int i = 0; i < rows(); i++) {
            table.write(positions[stepRow(i)], op.pairs(), c, s, i * 2 * half);
        }
        long[] shape = op.pairs() ? new long[] {rows(), 1, half, 2} : new long[] {rows(), 1, 2, half};
        turns.put(key(op), new Turn(Pt.floats(manager, c, shape), Pt.floats(manager, s, shape)));
    }

    Turn turn(Op.Rope op) {
        return Objects.requireNonNull(turns.get(key(op)));
    }

    /** Cache rows that K and V of the group's rows go to. */
    void slots(int group, TorchKvCache cache, StepInputs in) {
        int[] slots = new int[rows()];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = in.slotMapping()[group][stepRow(i)];
        }
        slotRows.put(group, new NDIndex("{}", Pt.longs(manager, cache.rowIndex(slots))));
    }

    NDIndex slotRows(int group) {
        return Objects.requireNonNull(slotRows.get(group));
    }

    void geometry(int group, int window, Geometry geometry) {
        geometries.put(key(group, window), geometry);
    }

    boolean hasGeometry(int group, int window) {
        return geometries.containsKey(key(group, window));
    }

    Geometry geometry(int group, int window) {
        return Objects.requireNonNull(geometries.get(key(group, window)));
    }

    private static long key(int group, int window) {
        return (long) group << 32 | window;
    }

    private static long key(Op.Rope op) {
        return 2L * op.table() + (op.pairs() ? 1 : 0);
    }
}
