package io.millrace.worker.program;

import io.millrace.worker.program.TensorInfo.Role;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Records a step program: one method per op, each giving the handle of what it makes. Not thread-safe. */
public final class Recorder {

    private final List<TensorInfo> tensors = new ArrayList<>();
    private final List<Op> ops = new ArrayList<>();
    private final Map<String, Integer> weights = new HashMap<>();

    /** Handle of a weight slot; the same one each time. */
    public int weight(String slot, int... shape) {
        return weights.computeIfAbsent(slot, name -> tensor(Role.WEIGHT, name, shape));
    }

    public int embed(int table, float factor) {
        int out = rows("embed", width(table));
        ops.add(new Op.Embed(table, out, factor));
        return out;
    }

    public int rmsNorm(int x, int weight, float eps, float offset) {
        int out = like("norm", x);
        ops.add(new Op.RmsNorm(x, weight, out, width(weight), eps, offset));
        return out;
    }

    /** One output per weight; {@code biases} has as many entries, {@link Op#NONE} for none. */
    public List<Integer> linear(int x, List<Integer> weights, List<Integer> biases) {
        List<Integer> outs = new ArrayList<>();
        for (int weight : weights) {
            outs.add(tensor(
                    Role.ACTIVATION,
                    "linear",
                    tensors.get(x).shape().getFirst(),
                    tensors.get(weight).shape().getFirst()));
        }
        ops.add(new Op.Linear(x, List.copyOf(weights), List.copyOf(biases), List.copyOf(outs)));
        return outs;
    }

    public int rope(int x, int heads, int headDim, int dims, boolean pairs, int table) {
        int out = like("rope", x);
        ops.add(new Op.Rope(x, out, heads, headDim, dims, pairs, table));
        return out;
    }

    public void kvWrite(int k, int v, int group, int layer) {
        ops.add(new Op.KvWrite(k, v, group, layer));
    }

    public int attention(
            int q,
            int group,
            int layer,
            int heads,
            int kvHeads,
            int keyDim,
            int valueDim,
            int window,
            float scale,
            float softCap) {
        int out = rows("attention", heads * valueDim);
        ops.add(new Op.Attention(q, out, group, layer, heads, kvHeads, keyDim, valueDim, window, scale, softCap));
        return out;
    }

    public int gated(int gate, int up, Op.Gated.Function function) {
        int out = like("gated", gate);
        ops.add(new Op.Gated(gate, up, out, function));
        return out;
    }

    public int add(int a, int b, float factor) {
        int out = like("add", a);
        ops.add(new Op.Add(a, b, out, factor));
        return out;
    }

    public int sigmoidScale(int x, int gate) {
        int out = like("scaled", x);
        ops.add(new Op.SigmoidScale(x, gate, out));
        return out;
    }

    /** The chosen experts and their weights. */
    public Routing moeRoute(
            int x, int weight, int active, boolean renormalise, float scale, int groups, int keptGroups) {
        int ids = rows("experts", active);
        int weights = rows("expert weights", active);
        ops.add(new Op.MoeRoute(x, weight, ids, weights, active, renormalise, scale, groups, keptGroups));
        return new Routing(ids, weights);
    }

    /** Handles of what {@link #moeRoute} makes. */
    public record Routing(int ids, int weights) {}

    public int moeExperts(
            int x,
            Routing routing,
            List<Integer> gates,
            List<Integer> ups,
            List<Integer> downs,
            Op.Gated.Function function) {
        int out = like("experts", x);
        ops.add(new Op.MoeExperts(
                x,
                routing.ids(),
                routing.weights(),
                List.copyOf(gates),
                List.copyOf(ups),
                List.copyOf(downs),
                out,
                function));
        return out;
    }

    public int latentAttention(
            int qNope,
            int qRope,
            int keyUp,
            int valueUp,
            int group,
            int layer,
            int heads,
            int nopeDim,
            int ropeDim,
            int kvRank,
            int valueDim,
            float scale) {
        int out = rows("attention", heads * valueDim);
        ops.add(new Op.LatentAttention(
                qNope, qRope, keyUp, valueUp, out, group, layer, heads, nopeDim, ropeDim, kvRank, valueDim, scale));
        return out;
    }

    public int gatherRows(int x) {
        int out = tensor(Role.ACTIVATION, "rows", TensorInfo.LOGIT_ROWS, width(x));
        ops.add(new Op.GatherRows(x, out));
        return out;
    }

    public int logits(int x, int weight, float factor, float softCap) {
        int out = tensor(
                Role.ACTIVATION,
                "logits",
                TensorInfo.LOGIT_ROWS,
                tensors.get(weight).shape().getFirst());
        ops.add(new Op.Logits(x, weight, out, factor, softCap));
        return out;
    }

    public void sample(int logits) {
        ops.add(new Op.Sample(logits));
    }

    /** {@code bias} may be {@link Op#NONE}. */
    public int layerNorm(int x, int weight, int bias, float eps) {
        int out = like("norm", x);
        ops.add(new Op.LayerNorm(x, weight, bias, out, width(weight), eps));
        return out;
    }

    public int activation(int x, Op.Activation.Function function) {
        int out = like("activation", x);
        ops.add(new Op.Activation(x, out, function));
        return out;
    }

    /** In both directions, over equal heads. */
    public int selfAttention(int q, int k, int v, int heads, int dim, float scale) {
        int out = rows("attention", heads * dim);
        ops.add(new Op.SelfAttention(q, k, v, out, heads, heads, dim, dim, false, 0, scale, 0));
        return out;
    }

    public int embedPositions(int table, int offset) {
        int out = rows("positions", width(table));
        ops.add(new Op.EmbedPositions(table, out, offset));
        return out;
    }

    public int embedTypes(int table) {
        int out = rows("types", width(table));
        ops.add(new Op.EmbedTypes(table, out));
        return out;
    }

    public int pool(int x, Op.Pool.Kind kind) {
        int out = tensor(Role.ACTIVATION, "pooled", TensorInfo.SEQUENCES, width(x));
        ops.add(new Op.Pool(x, out, kind));
        return out;
    }

    public void output(int x) {
        ops.add(new Op.Output(x));
    }

    /** The program so far. Throws {@link IllegalStateException} when an op reads what none before it wrote. */
    public StepProgram finish() {
        Set<Integer> written = new HashSet<>(weights.values());
        for (Op op : ops) {
            if (!written.containsAll(OpHandles.reads(op))) {
                throw new IllegalStateException(op + " reads a tensor that no op before it writes");
            }
            for (int out : OpHandles.writes(op)) {
                if (!written.add(out)) {
                    throw new IllegalStateException(op + " writes a tensor a second time");
                }
            }
        }
        return new StepProgram(tensors, ops);
    }

    private int width(int handle) {
        return tensors.get(handle).shape().getLast();
    }

    private int rows(String name, int width) {
        return tensor(Role.ACTIVATION, name, TensorInfo.ROWS, width);
    }

    private int like(String name, int x) {
        return add(new TensorInfo(Role.ACTIVATION, name, tensors.get(x).shape()));
    }

    private int tensor(Role role, String name, int... shape) {
        List<Integer> sizes = new ArrayList<>();
        for (int size : shape) {
            sizes.add(size);
        }
        return add(new TensorInfo(role, name, List.copyOf(sizes)));
    }

    private int add(TensorInfo info) {
        tensors.add(info);
        return tensors.size() - 1;
    }
}
