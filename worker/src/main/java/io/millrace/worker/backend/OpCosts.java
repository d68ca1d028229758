package io.millrace.worker.backend;

import io.millrace.worker.program.Op;
import io.millrace.worker.program.OpHandles;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.util.List;
import java.util.Locale;
import java.util.function.IntToLongFunction;

/**
 * What the ops of a program must do at least: floating-point operations, and bytes that come from or go to memory when each operand is
 * moved once. Immutable.
 */
public final class OpCosts {

    private static final long FLOAT = Float.BYTES;

    /** Work of an op. */
    public record Work(long flops, long bytes) {

        Work plus(Work other) {
            return new Work(flops + other.flops, bytes + other.bytes);
        }
    }

    private final StepProgram program;
    private final IntToLongFunction weightBytes;

    /** @param weightBytes bytes of a weight, by its handle, as the backend keeps it */
    public OpCosts(StepProgram program, IntToLongFunction weightBytes) {
        this.program = program;
        this.weightBytes = weightBytes;
    }

    /** Of weights kept in float32. */
    public static OpCosts floats(StepProgram program) {
        return new OpCosts(program, handle -> FLOAT * elements(program.tensor(handle), 1, 1));
    }

    /** Names of the ops, for people. */
    public String name(int[] ops) {
        var names = new StringBuilder();
        for (int op : ops) {
            if (!names.isEmpty()) {
                names.append('+');
            }
            names.append(program.ops().get(op).code().name().toLowerCase(Locale.ROOT));
        }
        return names.toString();
    }

    /** Of ops that ran as one on {@code rows} rows of that step. */
    public Work of(int[] ops, int rows, StepInputs step) {
        Work sum = new Work(0, 0);
        for (int op : ops) {
            sum = sum.plus(of(program.ops().get(op), rows, step));
        }
        return sum;
    }

    private Work of(Op op, int rows, StepInputs step) {
        long moved = 0;
        long values = 0;
        for (int handle : OpHandles.reads(op)) {
            moved += bytes(op, handle, rows, step);
        }
        for (int handle : OpHandles.writes(op)) {
            moved += bytes(op, handle, rows, step);
            values += elements(program.tensor(handle), rows, step.queryStart().length - 1);
        }
        double share = (double) rows / Math.max(1, step.rows());
        return switch (op) {
            case Op.Linear o -> new Work(products(o.weights(), rows), moved);
            case Op.Logits o -> new Work(products(List.of(o.weight()), rows), moved);
            case Op.MoeRoute o -> new Work(products(List.of(o.weight()), rows), moved);
            case Op.MoeExperts o -> experts(o, rows, moved);
            case Op.Attention o -> {
                long pairs = Math.round(share * pairs(step, o.window()));
                long cached = Math.round(share * cached(step, o.window()));
                yield new Work(
                        2 * pairs * o.heads() * (o.keyDim() + o.valueDim()),
                        moved + FLOAT * cached * o.kvHeads() * (o.keyDim() + o.valueDim()));
            }
            case Op.LatentAttention o -> {
                long pairs = Math.round(share * pairs(step, 0));
                long cached = Math.round(share * cached(step, 0));
                long perHead = (long) o.kvRank() * (o.nopeDim() + o.valueDim());
                yield new Work(
                        2L * rows * o.heads() * perHead + 2 * pairs * o.heads() * (2L * o.kvRank() + o.ropeDim()),
                        moved + FLOAT * cached * (o.kvRank() + o.ropeDim()));
            }
            case Op.SelfAttention o -> {
                long pairs = Math.round(share * pairs(step, o.window()));
                yield new Work(2 * pairs * o.heads() * (o.keyDim() + o.valueDim()), moved);
            }
            case Op.KvWrite o -> new Work(0, 2 * moved);
            case Op.Embed o -> new Work(0, moved);
            case Op.EmbedPositions o -> new Work(0, moved);
            case Op.EmbedTypes o -> new Work(0, moved);
            case Op.GatherRows o -> new Work(0, moved);
            case Op.Output o -> new Work(0, moved);
            case Op.Sample o -> new Work(0, moved);
            case Op.RmsNorm o -> new Work(4 * values, moved);
            case Op.LayerNorm o -> new Work(6 * values, moved);
            case Op.Rope o -> new Work(3 * values, moved);
            case Op.Gated o -> new Work(5 * values, moved);
            case Op.Activation o -> new Work(4 * values, moved);
            case Op.Add o -> new Work((o.factor() == 1 ? 1 : 2) * values, moved);
            case Op.Scale o -> new Work(values, moved);
            case Op.SoftCap o -> new Work(3 * values, moved);
            case Op.SigmoidScale o -> new Work(2 * values, moved);
            case Op.Pool o -> new Work(values, moved);
        };
    }

    /** A table gives a row for each row; every other operand is moved whole. Experts count by how many of them are touched. */
    private long bytes(Op op, int handle, int rows, StepInputs step) {
        TensorInfo tensor = program.tensor(handle);
        if (tensor.role() == TensorInfo.Role.ACTIVATION) {
            return FLOAT * elements(tensor, rows, step.queryStart().length - 1);
        }
        boolean table = op instanceof Op.Embed || op instanceof Op.EmbedPositions || op instanceof Op.EmbedTypes;
        long whole = weightBytes.applyAsLong(handle);
        if (table) {
            return whole / Math.max(1, tensor.shape().getFirst()) * rows;
        }
        return op instanceof Op.MoeExperts ? 0 : whole;
    }

    private Work experts(Op.MoeExperts op, int rows, long moved) {
        long active = elements(program.tensor(op.ids()), 1, 1);
        int experts = op.gates().size();
        long touched = Math.min(experts, rows * active);
        long each = weightBytes.applyAsLong(op.gates().getFirst())
                + weightBytes.applyAsLong(op.ups().getFirst())
                + weightBytes.applyAsLong(op.downs().getFirst());
        long one = products(
                List.of(op.gates().getFirst(), op.ups().getFirst(), op.downs().getFirst()), rows * active);
        return new Work(one, moved + touched * each);
    }

    private long products(List<Integer> weights, long rows) {
        long sum = 0;
        for (int weight : weights) {
            sum += 2 * rows * elements(program.tensor(weight), 1, 1);
        }
        return sum;
    }

    private static long elements(TensorInfo tensor, long rows, long sequences) {
        long n = 1;
        for (int size : tensor.shape()) {
            n *= switch (size) {
                case TensorInfo.ROWS, TensorInfo.LOGIT_ROWS -> rows;
                case TensorInfo.SEQUENCES -> sequences;
                default -> size;
            };
        }
        return n;
    }

    /** Pairs of a row and a token that it sees. */
    private static long pairs(StepInputs step, int window) {
        long sum = 0;
        for (int position : step.positions()) {
            sum += window > 0 ? Math.min(window, position + 1) : position + 1;
        }
        return sum;
    }

    /** Tokens of the cache that are read. */
    private static long cached(StepInputs step, int window) {
        long sum = 0;
        for (int s = 0; s < step.contextLen().length; s++) {
            int queries = step.queryStart()[s + 1] - step.queryStart()[s];
            sum += window > 0 ? Math.min(step.contextLen()[s], window + queries) : step.contextLen()[s];
        }
        return sum;
    }
}
