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
 * A run of the step's rows that one thread computes, with the activations of those rows. A group of one row is computed as two
 * equal rows, because a product of one row has another kernel and other bits.
 */
final class RowGroup {

    /** What the rows of a group need for one attention geometry (KV group, window). */
    record Geometry(List<AttentionPart> parts, @Nullable PtNDArray order) {}

    private final int from;
    private final int real;
    private final PtNDManager manager;
    private final PtNDArray[] activations;
    private final Map<Long, Geometry> geometries = new HashMap<>();
    private final Map<Integer, NDIndex> slotRows = new HashMap<>();
    private final PtNDArray tokens;
    private @Nullable PtNDArray cos;
    private @Nullable PtNDArray sin;

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

    /** Rows computed: at least two. */
    int rows() {
        return Math.max(real, 2);
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

    /** Factors of the rotation, [rows, 1, 2, half] or [rows, 1, half, 2]. */
    void turn(RopeTable table, boolean pairs, int[] positions) {
        int half = table.half();
        float[] c = new float[rows() * 2 * half];
        float[] s = new float[c.length];
        for (int i = 0; i < rows(); i++) {
            table.write(positions[stepRow(i)], pairs, c, s, i * 2 * half);
        }
        long[] shape = pairs ? new long[] {rows(), 1, half, 2} : new long[] {rows(), 1, 2, half};
        cos = Pt.floats(manager, c, shape);
        sin = Pt.floats(manager, s, shape);
    }

    PtNDArray cos() {
        return Objects.requireNonNull(cos);
    }

    PtNDArray sin() {
        return Objects.requireNonNull(sin);
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

    void geometry(Op.Attention op, Geometry geometry) {
        geometries.put(key(op), geometry);
    }

    boolean hasGeometry(Op.Attention op) {
        return geometries.containsKey(key(op));
    }

    Geometry geometry(Op.Attention op) {
        return Objects.requireNonNull(geometries.get(key(op)));
    }

    private static long key(Op.Attention op) {
        return (long) op.group() << 32 | op.window();
    }
}
