package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.program.Op;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Attention of whole sequences to themselves: all rows of each are in the group. Keys and values are padded to whole chunks; queries are
 * taken {@value #TILE} at a time, counted from the sequence's first, each an {@link AttentionPart} with one page a head. Shapes, and so
 * bits, depend on the sequence alone; memory grows with its length, not with its square.
 */
final class WholeAttention {

    private static final int TILE = 128;
    /** Rows of a sequence up to which its masks are kept from layer to layer. */
    private static final int KEPT = 1024;

    /** Rows of a sequence within the group. */
    private record Run(int from, int to) {

        int rows() {
            return to - from;
        }

        int padded() {
            return (rows() + AttentionPart.CHUNK - 1) / AttentionPart.CHUNK * AttentionPart.CHUNK;
        }
    }

    private final RowGroup rows;
    private final Op.SelfAttention like;
    private final List<Run> runs = new ArrayList<>();
    private final Map<Integer, AttentionPart> kept = new HashMap<>();

    /** @param like an op whose direction, window and KV heads it is for */
    WholeAttention(Op.SelfAttention like, StepInputs in, RowGroup rows) {
        this.rows = rows;
        this.like = like;
        int end = rows.from() + rows.realRows();
        for (int s = 0; s < in.sequences(); s++) {
            int from = in.queryStart()[s];
            int to = in.queryStart()[s + 1];
            if (from >= rows.from() && to <= end && from < to) {
                runs.add(new Run(from - rows.from(), to - rows.from()));
            }
        }
    }

    /** What ops that can share a plan have in common. */
    static long key(Op.SelfAttention op) {
        return ((long) op.kvHeads() << 32 | op.window()) << 1 | (op.causal() ? 1 : 0);
    }

    /** Rows {@code from} to {@code to - 1} of the group, all of that run. */
    private AttentionPart part(Run run, int from, int to) {
        int queries = to - from;
        int length = run.padded();
        int[] index = new int[queries];
        float[] mask = new float[queries * length];
        for (int i = 0; i < queries; i++) {
            index[i] = from + i;
            hide(mask, i * length, length, index[i] - run.from(), run.rows());
        }
        long[] pages = new long[like.kvHeads()];
        Arrays.setAll(pages, h -> h);
        return new AttentionPart(
                index,
                null,
                1,
                queries,
                length,
                Pt.longs(rows.manager(), pages),
                Pt.floats(rows.manager(), mask, 1, 1, queries, length));
    }

    private void hide(float[] mask, int at, int length, int position, int tokens) {
        int window = like.window();
        for (int other = 0; other < length; other++) {
            boolean seen = other < tokens
                    && (!like.causal() || other <= position)
                    && (window == 0 || Math.abs(other - position) < window);
            mask[at + other] = seen ? 0 : Float.NEGATIVE_INFINITY;
        }
    }

    /** [group rows, heads * valueDim]. */
    PtNDArray run(Op.SelfAttention op, Constants constants) {
        Heads heads = new Heads(op.heads(), op.kvHeads(), op.keyDim(), op.valueDim(), op.scale(), op.softCap());
        PtNDArray queries = rows.get(op.q());
        List<PtNDArray> done = new ArrayList<>();
        for (Run run : runs) {
            try (PtNDArray keys = pages(op.k(), run, op.kvHeads(), op.keyDim());
                    PtNDArray values = pages(op.v(), run, op.kvHeads(), op.valueDim())) {
                for (int from = run.from(); from < run.to(); from += TILE) {
                    var compared = new AttentionPart.Compared(queries, keys, op.keyDim());
                    done.add(tile(heads, run, from, compared, values, constants));
                }
            }
        }
        for (int i = rows.realRows(); i < rows.rows(); i++) {
            // Rows that fill the group up are equal to its last.
            long last = done.getFirst().getShape().get(0);
            done.add(Pt.slice(done.getFirst(), 0, last - 1, last));
        }
        return Pt.join(done, 0);
    }

    private PtNDArray tile(
            Heads heads, Run run, int from, AttentionPart.Compared compared, PtNDArray values, Constants constants) {
        int to = Math.min(run.to(), from + TILE);
        if (run.rows() <= KEPT) {
            return kept.computeIfAbsent(from, first -> part(run, first, to))
                    .run(heads, List.of(compared), values, constants);
        }
        AttentionPart part = part(run, from, to);
        try (PtNDArray pages = part.pages();
                PtNDArray mask = part.mask()) {
            return part.run(heads, List.of(compared), values, constants);
        }
    }

    /** Keys or values of a sequence, padded with zeros: [heads, padded * dim]. */
    private PtNDArray pages(int handle, Run run, int heads, int dim) {
        List<PtNDArray> pieces = new ArrayList<>();
        pieces.add(Pt.slice(rows.get(handle), 0, run.from(), run.to()));
        int missing = run.padded() - run.rows();
        if (missing > 0) {
            pieces.add(Pt.floats(rows.manager(), new float[missing * heads * dim], missing, (long) heads * dim));
        }
        try (PtNDArray all = Pt.join(pieces, 0);
                PtNDArray split = Pt.reshape(all, run.padded(), heads, dim);
                PtNDArray byHead = JniUtils.permute(split, new long[] {1, 0, 2})) {
            return Pt.reshape(byHead, heads, (long) run.padded() * dim);
        }
    }
}
