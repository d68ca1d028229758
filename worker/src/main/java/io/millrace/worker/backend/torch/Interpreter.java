package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.Shape;
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
    private final boolean pools;
    private final Pointwise pointwise;
    private final Experts experts;

    /** Of a program that samples. */
    Interpreter(TorchWeights weights, List<TorchKvCache> caches, Constants constants, ThreadTeam team) {
        this(weights, caches, constants, team, false);
    }

    /** @param pools the program pools whole sequences */
    Interpreter(TorchWeights weights, List<TorchKvCache> caches, Constants constants, ThreadTeam team, boolean pools) {
        this.pools = pools;
        this.weights = weights;
        this.caches = caches;
        this.constants = constants;
        this.team = team;
        this.pointwise = new Pointwise(constants);
        this.experts = new Experts(weights, pointwise, team);
    }

    /**
     * @param share whether the team may share this op's products; only when no other group is running
     */
    void run(Op op, RowGroup rows, boolean share) {
        switch (op) {
            case Op.Embed o -> rows.put(o.out(), scaled(Pt.rows(rows.tokens(), weights.array(o.table())), o.factor()));
            case Op.RmsNorm o -> rows.put(o.out(), pointwise.rmsNorm(o, weights.array(o.weight()), rows.get(o.x())));
            case Op.Linear o -> linear(o, rows, share);
            case Op.Rope o -> rows.put(o.out(), rope(o, rows));
            case Op.KvWrite o ->
                caches.get(o.group()).write(o.layer(), rows.slotRows(o.group()), rows.get(o.k()), rows.get(o.v()));
            case Op.Attention o -> rows.put(o.out(), attention(o, rows));
            case Op.Gated o -> rows.put(o.out(), pointwise.gated(o.function(), rows.get(o.gate()), rows.get(o.up())));
            case Op.Add o -> rows.put(o.out(), pointwise.add(rows.get(o.a()), rows.get(o.b()), o.factor()));
            case Op.Scale o -> rows.put(o.out(), JniUtils.mul(rows.get(o.x()), constants.of(o.factor())));
            case Op.SoftCap o -> rows.put(o.out(), pointwise.softCap(rows.get(o.x()), o.cap()));
            case Op.SigmoidScale o -> rows.put(o.out(), Pointwise.sigmoidScale(rows.get(o.x()), rows.get(o.gate())));
            case Op.MoeRoute o -> experts.route(o, rows);
            case Op.MoeExperts o -> experts.run(o, rows, share);
            case Op.LatentAttention o -> rows.put(o.out(), latentAttention(o, rows));
            case Op.GatherRows o -> throw misplaced(o);
            case Op.Logits o -> throw misplaced(o);
            case Op.Sample o -> throw misplaced(o);
            case Op.LayerNorm o -> rows.put(o.out(), layerNorm(o, rows.get(o.x())));
            case Op.Activation o -> rows.put(o.out(), pointwise.activation(o.function(), rows.get(o.x())));
            case Op.SelfAttention o -> rows.put(o.out(), rows.whole(o).run(o, constants));
            case Op.EmbedPositions o -> rows.put(o.out(), Pt.rows(rows.get(o.out()), weights.array(o.table())));
            case Op.EmbedTypes o -> rows.put(o.out(), Pt.rows(rows.get(o.out()), weights.array(o.table())));
            case Op.Pool o -> throw misplaced(o);
            case Op.Output o -> throw misplaced(o);
        }
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

    private PtNDArray layerNorm(Op.LayerNorm op, PtNDArray x) {
        PtNDArray weight = weights.array(op.weight());
        Shape width = new Shape(op.width());
        if (op.bias() != Op.NONE) {
            return JniUtils.layerNorm(x, width, weight, weights.array(op.bias()), op.eps());
        }
        try (PtNDArray zero = Pt.floats(x.getManager(), new float[op.width()], op.width())) {
            return JniUtils.layerNorm(x, width, weight, zero, op.eps());
        }
    }

    private void linear(Op.Linear op, RowGroup rows, boolean share) {
        PtNDArray x = Pt.shared(rows.get(op.x()));
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
            Matrix.Slab slab = matrix.slabs().get(task[1]);
            parts.get(task[0])[task[1]] = pools ? PooledSteps.product(x, slab) : slab.product(x);
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
            PtNDArray result = JniUtils.mul(split, rows.turn(op).cos());
            JniUtils.muli(partner, rows.turn(op).sin());
            JniUtils.addi(result, partner);
            return result;
        }
    }

    private PtNDArray attention(Op.Attention op, RowGroup rows) {
        TorchKvCache cache = caches.get(op.group());
        List<AttentionPart.Compared> compared =
                List.of(new AttentionPart.Compared(rows.get(op.q()), cache.keys(op.layer()), op.keyDim()));
        return attention(Heads.of(op), rows.geometry(op.group(), op.window()), compared, cache.values(op.layer()));
    }

    /** Queries are multiplied into the latents' space, where all heads share one key and value, and the sums out of it again. */
    private PtNDArray latentAttention(Op.LatentAttention op, RowGroup rows) {
        TorchKvCache cache = caches.get(op.group());
        PtNDArray latents = cache.keys(op.layer());
        try (PtNDArray into = perHead(rows.get(op.qNope()), op.heads(), weights.array(op.keyUp()));
                PtNDArray sums = attention(
                        Heads.of(op),
                        rows.geometry(op.group(), 0),
                        List.of(
                                new AttentionPart.Compared(into, latents, op.kvRank()),
                                new AttentionPart.Compared(
                                        rows.get(op.qRope()), cache.values(op.layer()), op.ropeDim())),
                        latents)) {
            return perHead(sums, op.heads(), weights.array(op.valueUp()));
        }
    }

    /** x [rows, heads * in] times a matrix [in, out] for each head: [rows, heads * out]. */
    private static PtNDArray perHead(PtNDArray x, int heads, PtNDArray matrices) {
        long n = x.getShape().get(0);
        long in = matrices.getShape().get(1);
        long out = matrices.getShape().get(2);
        try (PtNDArray split = Pt.reshape(x, n, heads, in);
                PtNDArray byHead = JniUtils.permute(split, new long[] {1, 0, 2});
                PtNDArray packed = Pt.cat(List.of(byHead), 0);
                PtNDArray product = JniUtils.bmm(packed, matrices);
                PtNDArray byRow = JniUtils.permute(product, new long[] {1, 0, 2})) {
            return Pt.reshape(byRow, n, heads * out);
        }
    }

    private PtNDArray attention(
            Heads heads, RowGroup.Geometry geometry, List<AttentionPart.Compared> compared, PtNDArray values) {
        List<PtNDArray> parts = new ArrayList<>();
        for (AttentionPart part : geometry.parts()) {
            parts.add(part.run(heads, compared, values, constants));
        }
        PtNDArray all = Pt.join(parts, 0);
        PtNDArray order = geometry.order();
        return order == null ? all : replace(all, Pt.rows(order, all));
    }

    /** The last rows' logits as host arrays: {@code rows} rows of x [≥ {@link Pt#MIN_ROWS}, hidden], shared by the team. */
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
                    PtNDArray y = finish(op, slab.product(part))) {
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
        return op.softCap() == 0 ? scaled : replace(scaled, pointwise.softCap(scaled, op.softCap()));
    }
}
