package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Attention of some rows of a row group: {@code sequences} sequences with {@code queries} rows each, over {@code length} cached
 * tokens, of which the mask hides what a row may not see.
 *
 * <p>The bits of a row do not depend on how many rows or sequences are computed with it, nor on {@code length}: scores are sums
 * over the head's dimension only; a hidden token weighs exactly 0; values are summed in chunks of {@link #CHUNK} tokens, chunk
 * after chunk; and no product has fewer than {@link Pt#MIN_ROWS} rows.
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

    /** Queries [group rows, heads * dim] and the cache [pages, tokens * dim] that they are compared with. */
    record Compared(PtNDArray queries, PtNDArray cache, int dim) {}

    /**
     * Weights of the sum of all comparisons, applied to {@code values}: [rows.length, heads * valueDim].
     *
     * @param compared one for ordinary attention; for latent attention the latents and the turned parts
     */
    PtNDArray run(Heads op, List<Compared> compared, PtNDArray values, Constants constants) {
        long batch = (long) sequences * op.kvHeads();
        int wide = op.groupSize() * queries;
        try (Scope scope = new Scope()) {
            PtNDArray weights = weights(scope, op, compared, constants, batch);
            PtNDArray mixed = mix(scope, weights, values, op, batch);
            if (wide < Pt.MIN_ROWS) {
                mixed = scope.add(Pt.slice(mixed, 1, 0, wide));
            }
            PtNDArray heads = scope.add(Pt.reshape(mixed, sequences, op.heads(), queries, op.valueDim()));
            PtNDArray order = scope.add(JniUtils.permute(heads, new long[] {0, 2, 1, 3}));
            return Pt.reshape(order, rows.length, (long) op.heads() * op.valueDim());
        }
    }

    /** [batch, wide, dim]; what is too narrow is repeated. */
    private PtNDArray query(Scope scope, Heads op, Compared c, Constants constants, long batch) {
        PtNDArray q = c.queries();
        PtNDArray picked =
                scope.add(rowIndex == null ? Pt.slice(q, 0, rows[0], rows[0] + rows.length) : Pt.rows(rowIndex, q));
        PtNDArray scaled = scope.add(JniUtils.mul(picked, constants.of(op.scale())));
        PtNDArray query = scope.add(
                queries == 1 ? Pt.reshape(scaled, batch, op.groupSize(), c.dim()) : byHead(scope, scaled, op, c.dim()));
        int wide = op.groupSize() * queries;
        int copies = (Pt.MIN_ROWS + wide - 1) / wide;
        return copies == 1 ? query : scope.add(Pt.cat(Collections.nCopies(copies, query), 1));
    }

    private PtNDArray byHead(Scope scope, PtNDArray q, Heads op, int dim) {
        PtNDArray split = scope.add(Pt.reshape(q, sequences, queries, op.kvHeads(), op.groupSize(), dim));
        PtNDArray order = scope.add(JniUtils.permute(split, new long[] {0, 2, 3, 1, 4}));
        return Pt.reshape(order, (long) sequences * op.kvHeads(), (long) op.groupSize() * queries, dim);
    }

    /** Softmax of the scores, [batch, wide, length]. */
    private PtNDArray weights(Scope scope, Heads op, List<Compared> compared, Constants constants, long batch) {
        try (Scope inner = new Scope()) {
            PtNDArray scores = null;
            for (Compared c : compared) {
                PtNDArray query = query(inner, op, c, constants, batch);
                PtNDArray gathered = inner.add(Pt.rows(pages, c.cache()));
                PtNDArray k = inner.add(Pt.reshape(gathered, batch, length, c.dim()));
                PtNDArray turned = inner.add(JniUtils.transpose(k, 1, 2));
                PtNDArray product = inner.add(JniUtils.bmm(query, turned));
                scores = scores == null ? product : inner.add(JniUtils.add(scores, product));
            }
            PtNDArray capped = softCap(inner, op, java.util.Objects.requireNonNull(scores), constants);
            long wide = capped.getShape().get(1);
            PtNDArray shaped =
                    inner.add(Pt.reshape(capped, sequences, batch * wide / sequences / queries, queries, length));
            JniUtils.addi(shaped, mask);
            PtNDArray soft = inner.add(JniUtils.softmax(shaped, 3, DataType.FLOAT32));
            return scope.add(Pt.reshape(soft, batch, wide, length));
        }
    }

    private static PtNDArray softCap(Scope scope, Heads op, PtNDArray scores, Constants constants) {
        if (op.softCap() == 0) {
            return scores;
        }
        PtNDArray small = scope.add(JniUtils.mul(scores, constants.of(1 / op.softCap())));
        PtNDArray bent = scope.add(Pt.tanh(small));
        return scope.add(JniUtils.mul(bent, constants.of(op.softCap())));
    }

    /** Values weighted, [batch, wide, valueDim]: chunk after chunk. */
    private PtNDArray mix(Scope scope, PtNDArray weights, PtNDArray values, Heads op, long batch) {
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
