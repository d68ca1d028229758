package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.program.Op;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/** What steps of programs that pool do otherwise: groups of whole sequences, products of a fixed number of rows, one row out of each. */
final class PooledSteps {

    /** Rows of every product: with one shape there is one kernel, so one order of sums, on every machine. */
    static final int TILE_ROWS = 16;

    private PooledSteps() {}

    /** Bounds of at most {@code groups} groups of whole sequences, about equal in rows. */
    static int[] bounds(StepInputs in, int groups) {
        List<Integer> bounds = new ArrayList<>(List.of(0));
        int[] wanted = Pt.split(in.rows(), groups);
        int next = 1;
        for (int s = 1; s <= in.sequences(); s++) {
            int end = in.queryStart()[s];
            if (end > bounds.getLast() && (s == in.sequences() || end >= wanted[next])) {
                bounds.add(end);
                while (next < groups && wanted[next] <= end) {
                    next++;
                }
            }
        }
        return bounds.stream().mapToInt(Integer::intValue).toArray();
    }

    /** {@code x · weights}, {@value #TILE_ROWS} rows at a time, the last ones filled up with zeros. */
    static PtNDArray product(PtNDArray x, Matrix.Slab weights) {
        long rows = x.getShape().get(0);
        long in = x.getShape().get(1);
        int missing = (int) ((TILE_ROWS - rows % TILE_ROWS) % TILE_ROWS);
        List<PtNDArray> tiles = new ArrayList<>();
        for (long from = 0; from + TILE_ROWS <= rows; from += TILE_ROWS) {
            try (PtNDArray tile = Pt.slice(x, 0, from, from + TILE_ROWS)) {
                tiles.add(weights.product(tile));
            }
        }
        if (missing > 0) {
            try (PtNDArray rest = Pt.slice(x, 0, rows + missing - TILE_ROWS, rows);
                    PtNDArray zeros = Pt.floats(x.getManager(), new float[missing * (int) in], missing, in);
                    PtNDArray tile = Pt.cat(List.of(rest, zeros), 0);
                    PtNDArray whole = weights.product(tile)) {
                tiles.add(Pt.slice(whole, 0, 0, TILE_ROWS - missing));
            }
        }
        return Pt.join(tiles, 0);
    }

    /** The end of the program, over one row of each sequence. */
    static StepOutputs finish(
            Schedule schedule,
            Interpreter interpreter,
            PtNDManager step,
            int tensors,
            List<RowGroup> groups,
            StepInputs in) {
        int rows = in.sequences();
        RowGroup last = new RowGroup(step, 0, rows, new int[rows], tensors);
        for (int i = schedule.end(); i < schedule.ops().size(); i++) {
            switch (schedule.ops().get(i)) {
                case Op.Pool op -> last.put(op.out(), pool(op, groups, in, last));
                case Op.Output op -> {
                    return StepOutputs.pooled(host(last.get(op.x()), rows));
                }
                case Op op -> interpreter.run(op, last, true);
            }
        }
        throw new IllegalStateException("the program gives nothing out");
    }

    /** [rows of {@code last}, width]; a mean adds its rows in ascending order, in double precision. */
    private static PtNDArray pool(Op.Pool op, List<RowGroup> groups, StepInputs in, RowGroup last) {
        int width = (int) groups.getFirst().get(op.x()).getShape().get(1);
        float[] out = new float[last.rows() * width];
        for (int i = 0; i < last.rows(); i++) {
            int s = last.stepRow(i);
            int first = in.queryStart()[s];
            int end = in.queryStart()[s + 1];
            int from = op.kind() == Op.Pool.Kind.LAST ? end - 1 : first;
            int to = op.kind() == Op.Pool.Kind.FIRST ? first + 1 : end;
            mean(op.x(), groups, from, to, width, out, i * width);
        }
        return Pt.floats(last.manager(), out, last.rows(), width);
    }

    private static void mean(int x, List<RowGroup> groups, int first, int end, int width, float[] out, int at) {
        double[] sums = new double[width];
        for (RowGroup group : groups) {
            if (first < group.from() || first >= group.from() + group.realRows()) {
                continue;
            }
            FloatBuffer values = Pt.view(group.get(x)).asFloatBuffer();
            for (int row = first - group.from(); row < end - group.from(); row++) {
                for (int j = 0; j < width; j++) {
                    sums[j] += values.get(row * width + j);
                }
            }
        }
        for (int j = 0; j < width; j++) {
            out[at + j] = (float) (sums[j] / (end - first));
        }
    }

    /** The first {@code rows} rows, on the host. */
    private static float[][] host(PtNDArray x, int rows) {
        int width = (int) x.getShape().get(1);
        FloatBuffer values = Pt.view(x).asFloatBuffer();
        float[][] out = new float[rows][width];
        for (int i = 0; i < rows; i++) {
            values.get(i * width, out[i]);
        }
        return out;
    }
}
