package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.program.Op;
import java.util.ArrayList;
import java.util.List;

/** Runs the ops of a program on a row group, one after another. Thread-safe: all state is the group's. */
final class Interpreter {

    private final TorchWeights weights;
    private final List<TorchKvCache> caches;
    private final Constants constants;
    private final ThreadTeam team;

    Interpreter(TorchWeights weights, List<TorchKvCache> caches, Constants constants, ThreadTeam team) {
        this.weights = weights;
        this.caches = caches;
        this.constants = constants;
        this.team = team;
    }

    /**
     * @param share whether the team may share this op's products; only when no other group is running
     */
    void run(Op op, RowGroup rows, boolean share) {
        switch (op) {
            case Op.Embed o -> rows.put(o.out(), scaled(Pt.rows(rows.tokens(), weights.array(o.table())), o.factor()));
            case Op.RmsNorm o -> rows.put(o.out(), rmsNorm(o, rows.get(o.x())));
            case Op.Linear o -> linear(o, rows, share);
            case Op.Rope o -> rows.put(o.out(), rope(o, rows));
            case Op.KvWrite o ->
                caches.get(o.group()).write(o.layer(), rows.slotRows(o.group()), rows.get(o.k()), rows.get(o.v()));
            case Op.Attention o -> rows.put(o.out(), attention(o, rows));
            case Op.Gated o -> rows.put(o.out(), gated(o, rows.get(o.gate()), rows.get(o.up())));
            case Op.Add o -> rows.put(o.out(), add(o, rows.get(o.a()), rows.get(o.b())));
            case Op.Scale o -> rows.put(o.out(), JniUtils.mul(rows.get(o.x()), constants.of(o.factor())));
            case Op.SoftCap o -> rows.put(o.out(), softCap(rows.get(o.x()), o.cap()));
            case Op.SigmoidScale o -> throw unknown(o);
            case Op.MoeRoute o -> throw unknown(o);
            case Op.MoeExperts o -> throw unknown(o);
            case Op.LatentAttention o -> throw unknown(o);
            case Op.GatherRows o -> throw misplaced(o);
            case Op.Logits o -> throw misplaced(o);
            case Op.Sample o -> throw misplaced(o);
        }
    }

    private static IllegalStateException unknown(Op op) {
        return new IllegalStateException(op.code() + " is not known to this backend");
    }

    private static IllegalStateException misplaced(Op op) {
        return new IllegalStateException(op.code() + " belongs to the end of the program");
    }

    private PtNDArray scaled(PtNDArray x, float factor) {
        return factor == 1 ? x : replace(x, JniUtils.mul(x, constants.of(factor)));
    }

    private static PtNDArray replace(PtNDArray old, PtNDArray now) {
        old.close();
        return now;
    }

    private PtNDArray rmsNorm(Op.RmsNorm op, PtNDArray x) {
        long width = op.width();
        long[] shape = x.getShape().getShape();
        boolean whole = shape[shape.length - 1] == width;
        PtNDArray rows = whole ? x : Pt.reshape(x, -1, width);
        PtNDArray weight = weights.array(op.weight());
        PtNDArray result;
        try (PtNDArray square = JniUtils.square(rows);
                PtNDArray mean = JniUtils.mean(square, 1, true)) {
            JniUtils.addi(mean, constants.of(op.eps()));
            try (PtNDArray rms = JniUtils.sqrt(mean)) {
                result = JniUtils.div(rows, rms);
            }
        }
        if (op.offset() == 0) {
            JniUtils.muli(result, weight);
        } else {
            // Gemma stores w - offset.
            try (PtNDArray shifted = JniUtils.mul(result, constants.of(op.offset()))) {
                JniUtils.muli(result, weight);
                JniUtils.addi(result, shifted);
            }
        }
        if (whole) {
            return result;
        }
        rows.close();
        return replace(result, Pt.reshape(result, shape));
    }

    private void linear(Op.Linear op, RowGroup rows, boolean share) {
        PtNDArray x = rows.get(op.x());
        int n = op.weights().size();
        List<PtNDArray[]> parts = new ArrayList<>();
        List<int[]> tasks = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            int slabs = weights.matrix(op.weights().get(i)).slabs().size();
            parts.add(new PtNDArray[slabs]);
            for (int j = 0; j < slabs; j++) {
                tasks.add(new int[] {i, j});
            }
        }
        ThreadTeam.Task product = (t, thread) -> {
            int[] task = tasks.get(t);
            Matrix matrix = weights.matrix(op.weights().get(task[0]));
            parts.get(task[0])[task[1]] =
                    JniUtils.matmul(x, matrix.slabs().get(task[1]).weights());
        };
        if (share) {
            team.parallel(tasks.size(), product);
        } else {
            for (int t = 0; t < tasks.size(); t++) {
                product.run(t, 0);
            }
        }
        for (int i = 0; i < n; i++) {
            PtNDArray out = Pt.join(List.of(parts.get(i)), 1);
            if (op.biases().get(i) != Op.NONE) {
                JniUtils.addi(out, weights.array(op.biases().get(i)));
            }
            rows.put(op.outs().get(i), out);
        }
    }

    private PtNDArray rope(Op.Rope op, RowGroup rows) {
        PtNDArray x = rows.get(op.x());
        long n = rows.rows();
        int half = op.dims() / 2;
        if (op.dims() == op.headDim()) {
            try (PtNDArray turned = turn(op, rows, x, half)) {
                return Pt.reshape(turned, n, (long) op.heads() * op.headDim());
            }
        }
        try (PtNDArray heads = Pt.reshape(x, n, op.heads(), op.headDim());
                PtNDArray head = Pt.slice(heads, 2, 0, op.dims());
                PtNDArray rest = Pt.slice(heads, 2, op.dims(), op.headDim());
                PtNDArray turned = turn(op, rows, head, half);
                PtNDArray flat = Pt.reshape(turned, n, op.heads(), op.dims());
                PtNDArray both = Pt.cat(List.of(flat, rest), 2)) {
            return Pt.reshape(both, n, (long) op.heads() * op.headDim());
        }
    }

    /** x · cos + partner · signed sin. */
    private static PtNDArray turn(Op.Rope op, RowGroup rows, PtNDArray x, int half) {
        long n = rows.rows();
        try (PtNDArray split =
                        op.pairs() ? Pt.reshape(x, n, op.heads(), half, 2) : Pt.reshape(x, n, op.heads(), 2, half);
                PtNDArray partner = JniUtils.flip(split, new long[] {op.pairs() ? 3 : 2})) {
            PtNDArray result = JniUtils.mul(split, rows.cos());
            JniUtils.muli(partner, rows.sin());
            JniUtils.addi(result, partner);
            return result;
        }
    }

    private PtNDArray attention(Op.Attention op, RowGroup rows) {
        TorchKvCache cache = caches.get(op.group());
        RowGroup.Geometry geometry = rows.geometry(op);
        List<PtNDArray> parts = new ArrayList<>();
        for (AttentionPart part : geometry.parts()) {
            parts.add(part.run(op, rows.get(op.q()), cache.keys(op.layer()), cache.values(op.layer()), constants));
        }
        PtNDArray all = Pt.join(parts, 0);
        PtNDArray order = geometry.order();
        return order == null ? all : replace(all, Pt.rows(order, all));
    }

    private PtNDArray gated(Op.Gated op, PtNDArray gate, PtNDArray up) {
        PtNDArray result = switch (op.function()) {
            case SILU -> {
                PtNDArray s = JniUtils.sigmoid(gate);
                JniUtils.muli(s, gate);
                yield s;
            }
            case GELU_TANH -> geluTanh(gate);
        };
        JniUtils.muli(result, up);
        return result;
    }

    /** x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))). */
    private PtNDArray geluTanh(PtNDArray x) {
        try (PtNDArray square = JniUtils.square(x)) {
            JniUtils.muli(square, constants.of(0.044715f));
            JniUtils.addi(square, constants.of(1));
            JniUtils.muli(square, x);
            JniUtils.muli(square, constants.of((float) Math.sqrt(2 / Math.PI)));
            PtNDArray result = JniUtils.tanh(square);
            JniUtils.addi(result, constants.of(1));
            JniUtils.muli(result, x);
            JniUtils.muli(result, constants.of(0.5f));
            return result;
        }
    }

    private PtNDArray add(Op.Add op, PtNDArray a, PtNDArray b) {
        if (op.factor() == 1) {
            return JniUtils.add(a, b);
        }
        try (PtNDArray small = JniUtils.mul(b, constants.of(op.factor()))) {
            return JniUtils.add(a, small);
        }
    }

    PtNDArray softCap(PtNDArray x, float cap) {
        try (PtNDArray small = JniUtils.mul(x, constants.of(1 / cap));
                PtNDArray bent = JniUtils.tanh(small)) {
            return JniUtils.mul(bent, constants.of(cap));
        }
    }

    /** The last rows' logits as host arrays: {@code rows} rows of x [≥ 2, hidden], shared by the team. */
    float[][] logits(Op.Logits op, PtNDArray x, int rows) {
        Matrix matrix = weights.matrix(op.weight());
        float[][] result = new float[rows][matrix.out()];
        int tiles = (rows + TorchRuntime.GROUP_ROWS - 1) / TorchRuntime.GROUP_ROWS;
        int[] bounds = Pt.split((int) x.getShape().get(0), tiles);
        int slabs = matrix.slabs().size();
        team.parallel(slabs * tiles, (t, thread) -> {
            Matrix.Slab slab = matrix.slabs().get(t % slabs);
            int from = bounds[t / slabs];
            int to = Math.min(bounds[t / slabs + 1], rows);
            try (PtNDArray part = Pt.slice(x, 0, from, bounds[t / slabs + 1]);
                    PtNDArray y = finish(op, JniUtils.matmul(part, slab.weights()))) {
                java.nio.FloatBuffer values = Pt.view(y).asFloatBuffer();
                for (int r = from; r < to; r++) {
                    values.get((r - from) * slab.width(), result[r], slab.from(), slab.width());
                }
            }
        });
        return result;
    }

    private PtNDArray finish(Op.Logits op, PtNDArray y) {
        PtNDArray scaled = scaled(y, op.factor());
        return op.softCap() == 0 ? scaled : replace(scaled, softCap(scaled, op.softCap()));
    }
}
