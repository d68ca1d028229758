package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.program.Op;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Choice of experts, and their MLPs. Each expert computes the rows that chose it in one product, of which the bits of a row do not
 * depend on the others; a row's outputs are added by ascending expert.
 */
final class Experts {

    private final TorchWeights weights;
    private final Pointwise pointwise;
    private final ThreadTeam team;

    Experts(TorchWeights weights, Pointwise pointwise, ThreadTeam team) {
        this.weights = weights;
        this.pointwise = pointwise;
        this.team = team;
    }

    /** Ids [rows * active] as whole numbers, weights [rows * active]. */
    void route(Op.MoeRoute op, RowGroup rows) {
        int n = rows.rows();
        long[] ids = new long[n * op.active()];
        float[] chosen = new float[ids.length];
        Matrix router = weights.matrix(op.weight());
        try (PtNDArray logits = router.product(rows.get(op.x()));
                PtNDArray soft = JniUtils.softmax(logits, 1, DataType.FLOAT32)) {
            FloatBuffer values = Pt.view(soft).asFloatBuffer();
            float[] probabilities = new float[router.out()];
            for (int t = 0; t < n; t++) {
                values.get(probabilities);
                choose(op, probabilities, ids, chosen, t * op.active());
            }
        }
        rows.put(op.ids(), Pt.longs(rows.manager(), ids));
        rows.put(op.weights(), Pt.floats(rows.manager(), chosen, n, op.active()));
    }

    private static void choose(Op.MoeRoute op, float[] probabilities, long[] ids, float[] chosen, int at) {
        int active = op.active();
        float[] open = op.groups() == 1 ? probabilities.clone() : bestGroups(op, probabilities);
        int[] picked = new int[active];
        for (int k = 0; k < active; k++) {
            picked[k] = best(open);
            open[picked[k]] = Float.NEGATIVE_INFINITY;
        }
        Arrays.sort(picked);
        float sum = 0;
        for (int e : picked) {
            sum += probabilities[e];
        }
        for (int k = 0; k < active; k++) {
            float p = probabilities[picked[k]];
            ids[at + k] = picked[k];
            chosen[at + k] = (op.renormalise() ? p / sum : p) * op.scale();
        }
    }

    /** The probabilities, outside the best groups lower than any. */
    private static float[] bestGroups(Op.MoeRoute op, float[] probabilities) {
        int size = probabilities.length / op.groups();
        float[] tops = new float[op.groups()];
        for (int g = 0; g < tops.length; g++) {
            tops[g] = probabilities[g * size];
            for (int i = 1; i < size; i++) {
                tops[g] = Math.max(tops[g], probabilities[g * size + i]);
            }
        }
        float[] open = new float[probabilities.length];
        Arrays.fill(open, Float.NEGATIVE_INFINITY);
        for (int k = 0; k < op.keptGroups(); k++) {
            int g = best(tops);
            tops[g] = Float.NEGATIVE_INFINITY;
            System.arraycopy(probabilities, g * size, open, g * size, size);
        }
        return open;
    }

    /** Index of the largest; of equal ones the first. A NaN is never larger. */
    private static int best(float[] values) {
        int best = 0;
        for (int i = 1; i < values.length; i++) {
            if (values[i] > values[best]) {
                best = i;
            }
        }
        return best;
    }

    /** An expert and the rows that it computes. */
    private record Share(int expert, long[] rows) {}

    void run(Op.MoeExperts op, RowGroup rows, boolean share) {
        PtNDArray x = rows.get(op.x());
        int n = rows.rows();
        LongBuffer ids = Pt.view(rows.get(op.ids())).asLongBuffer();
        int active = ids.remaining() / n;
        long[][] places = new long[active][n];
        List<Share> shares = shares(op.gates().size(), ids, active, places);
        PtNDArray[] outputs = new PtNDArray[shares.size()];
        ThreadTeam.Task task = (i, thread) -> outputs[i] = mlp(op, shares.get(i), x, rows);
        if (share) {
            team.parallel(outputs.length, task);
        } else {
            for (int i = 0; i < outputs.length; i++) {
                task.run(i, 0);
            }
        }
        try (PtNDArray all = Pt.join(List.of(outputs), 0)) {
            rows.put(op.out(), sum(all, rows.get(op.weights()), places, rows));
        }
    }

    private static List<Share> shares(int experts, LongBuffer ids, int active, long[][] places) {
        int n = places[0].length;
        List<List<Long>> chosenBy = new ArrayList<>();
        for (int e = 0; e < experts; e++) {
            chosenBy.add(new ArrayList<>());
        }
        for (int t = 0; t < n; t++) {
            for (int k = 0; k < active; k++) {
                List<Long> mine = chosenBy.get((int) ids.get(t * active + k));
                // The place within the expert's rows; where these begin is not known yet.
                places[k][t] = mine.size();
                mine.add((long) t);
            }
        }
        List<Share> shares = new ArrayList<>();
        int[] first = new int[experts];
        int at = 0;
        for (int e = 0; e < experts; e++) {
            List<Long> mine = chosenBy.get(e);
            first[e] = at;
            if (!mine.isEmpty()) {
                long[] mineRows = mine.stream().mapToLong(Long::longValue).toArray();
                long[] computed = Arrays.copyOf(mineRows, Math.max(mineRows.length, Pt.MIN_ROWS));
                Arrays.fill(computed, mineRows.length, computed.length, mineRows[0]);
                shares.add(new Share(e, computed));
                at += computed.length;
            }
        }
        for (int t = 0; t < n; t++) {
            for (int k = 0; k < active; k++) {
                places[k][t] += first[(int) ids.get(t * active + k)];
            }
        }
        return shares;
    }

    private PtNDArray mlp(Op.MoeExperts op, Share share, PtNDArray x, RowGroup rows) {
        int e = share.expert();
        try (PtNDArray index = Pt.longs(rows.manager(), share.rows());
                PtNDArray mine = Pt.rows(index, x);
                PtNDArray gate = weights.matrix(op.gates().get(e)).product(mine);
                PtNDArray up = weights.matrix(op.ups().get(e)).product(mine);
                PtNDArray gated = pointwise.gated(op.function(), gate, up)) {
            return weights.matrix(op.downs().get(e)).product(gated);
        }
    }

    private static PtNDArray sum(PtNDArray all, PtNDArray weights, long[][] places, RowGroup rows) {
        PtNDArray sum = null;
        for (int k = 0; k < places.length; k++) {
            try (PtNDArray index = Pt.longs(rows.manager(), places[k]);
                    PtNDArray mine = Pt.rows(index, all);
                    PtNDArray weight = Pt.slice(weights, 1, k, k + 1)) {
                PtNDArray weighted = JniUtils.mul(mine, weight);
                if (sum == null) {
                    sum = weighted;
                } else {
                    JniUtils.addi(sum, weighted);
                    weighted.close();
                }
            }
        }
        return java.util.Objects.requireNonNull(sum);
    }
}
