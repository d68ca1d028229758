package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.program.Op;
import java.util.ArrayList;
import java.util.List;

/**
 * Attention of some rows of a row group: {@code sequences} sequences with {@code queries} rows each, over {@code length} cached
 * tokens, of which the mask hides what a row may not see.
 *
 * <p>The bits of a row do not depend on how many rows or sequences are computed with it, nor on {@code length}: scores are sums
 * over the head's dimension only; a hidden token weighs exactly 0; values are summed in chunks of {@link #CHUNK} tokens, chunk
 * after chunk; and no product has a single row, for which the library has another kernel.
 *
 * @param rows [sequences * queries] rows within the group, sequence by sequence
 * @param rowIndex the same for a gather; null when they are contiguous
 * @param pages [sequences * kvHeads * pages] index into the cache
 * @param mask [sequences, 1, queries, length] 0 or -infinity
 */
record AttentionPart(
        int[] rows,
        @org.jspecify.annotations.Nullable PtNDArray rowIndex,
        int sequences,
        int queries,
        int length,
        PtNDArray pages,
        PtNDArray mask) {

    /** Tokens whose values are summed in one product. */
    static final int CHUNK = 128;

    /** q [group rows, heads * keyDim] gives [rows.length, heads * valueDim]. */
    PtNDArray run(Op.Attention op, PtNDArray q, PtNDArray keys, PtNDArray values, Constants constants) {
        int groupSize = op.heads() / op.kvHeads();
        int wide = groupSize * queries;
        long batch = (long) sequences * op.kvHeads();
        try (Scope scope = new Scope()) {
            PtNDArray picked =
                    scope.add(rowIndex == null ? Pt.slice(q, 0, rows[0], rows[0] + rows.length) : Pt.rows(rowIndex, q));
            PtNDArray scaled = scope.add(JniUtils.mul(picked, constants.of(op.scale())));
            PtNDArray query = scope.add(
                    queries == 1
                            ? Pt.reshape(scaled, batch, groupSize, op.keyDim())
                            : byHead(scope, scaled, op, groupSize));
            boolean alone = wide == 1;
            if (alone) {
                query = scope.add(Pt.cat(List.of(query, query), 1));
                wide = 2;
            }
            PtNDArray weights = weights(scope, op, query, keys, constants, batch, wide);
            PtNDArray mixed = mix(scope, weights, values, op, batch, wide);
            if (alone) {
                mixed = scope.add(Pt.slice(mixed, 1, 0, 1));
            }
            PtNDArray heads = scope.add(Pt.reshape(mixed, sequences, op.heads(), queries, op.valueDim()));
            PtNDArray order = scope.add(JniUtils.permute(heads, new long[] {0, 2, 1, 3}));
            return Pt.reshape(order, rows.length, (long) op.heads() * op.valueDim());
        }
    }

    private PtNDArray byHead(Scope scope, PtNDArray q, Op.Attention op, int groupSize) {
        PtNDArray split = scope.add(Pt.reshape(q, sequences, queries, op.kvHeads(), groupSize, op.keyDim()));
        PtNDArray order = scope.add(JniUtils.permute(split, new long[] {0, 2, 3, 1, 4}));
        return Pt.reshape(order, (long) sequences * op.kvHeads(), (long) groupSize * queries, op.keyDim());
    }

    /** Softmax of the scores, [batch, wide, length]. */
    private PtNDArray weights(
            Scope scope, Op.Attention op, PtNDArray query, PtNDArray keys, Constants constants, long batch, int wide) {
        try (Scope inner = new Scope()) {
            PtNDArray gathered = inner.add(Pt.rows(pages, keys));
            PtNDArray k = inner.add(Pt.reshape(gathered, batch, length, op.keyDim()));
            PtNDArray turned = inner.add(JniUtils.transpose(k, 1, 2));
            PtNDArray scores = inner.add(JniUtils.bmm(query, turned));
            if (op.softCap() != 0) {
                PtNDArray small = inner.add(JniUtils.mul(scores, constants.of(1 / op.softCap())));
                PtNDArray bent = inner.add(JniUtils.tanh(small));
                scores = inner.add(JniUtils.mul(bent, constants.of(op.softCap())));
            }
            long copies = batch * wide / sequences / queries;
            PtNDArray shaped = inner.add(Pt.reshape(scores, sequences, copies, queries, length));
            JniUtils.addi(shaped, mask);
            PtNDArray soft = inner.add(JniUtils.softmax(shaped, 3, DataType.FLOAT32));
            return scope.add(Pt.reshape(soft, batch, wide, length));
        }
    }

    /** Values weighted, [batch, wide, valueDim]: chunk after chunk. */
    private PtNDArray mix(Scope scope, PtNDArray weights, PtNDArray values, Op.Attention op, long batch, int wide) {
        try (Scope inner = new Scope()) {
            PtNDArray gathered = inner.add(Pt.rows(pages, values));
            PtNDArray v = inner.add(Pt.reshape(gathered, batch, length, op.valueDim()));
            PtNDArray sum = null;
            for (int from = 0; from < length; from += CHUNK) {
                try (PtNDArray w = Pt.slice(weights, 2, from, from + CHUNK);
                        PtNDArray part = Pt.slice(v, 1, from, from + CHUNK)) {
                    PtNDArray product = JniUtils.bmm(w, part);
                    if (sum == null) {
                        sum = product;
                    } else {
                        JniUtils.addi(sum, product);
                        product.close();
                    }
                }
            }
            return scope.add(java.util.Objects.requireNonNull(sum));
        }
    }

    /** Arrays that are closed together. */
    static final class Scope implements AutoCloseable {
        private final List<PtNDArray> arrays = new ArrayList<>();

        PtNDArray add(PtNDArray array) {
            arrays.add(array);
            return array;
        }

        @Override
        public void close() {
            arrays.forEach(PtNDArray::close);
        }
    }
}
