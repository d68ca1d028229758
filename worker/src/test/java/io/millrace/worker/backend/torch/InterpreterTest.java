package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.engine.Engine;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.program.Op;
import io.millrace.worker.sampling.SamplingRow;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Ops, also those that no supported family uses yet, against their contract in double precision. */
class InterpreterTest {

    private static final int ROWS = 5;
    private static final int BLOCK = 16;

    private final Random random = new Random(3);
    private PtNDManager manager;
    private ThreadTeam team;

    @BeforeEach
    void open() {
        manager = (PtNDManager) Engine.getEngine("PyTorch").newBaseManager();
        team = new ThreadTeam("test", 1, () -> {});
        Pt.oneThread();
    }

    @AfterEach
    void close() {
        team.close();
        manager.close();
    }

    private float[] values(int n) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private RowGroup group() {
        return new RowGroup(manager, 0, ROWS, new int[ROWS], 8);
    }

    private float[] run(Op op, RowGroup rows, int out, Map<Integer, PtNDArray> weights, List<TorchKvCache> caches) {
        new Interpreter(TorchWeights.of(Map.of(), weights), caches, new Constants(manager), team).run(op, rows, true);
        return rows.get(out).toFloatArray();
    }

    private static void assertClose(float[] actual, double[] expected) {
        assertThat(actual).hasSize(expected.length);
        double error = 0;
        double norm = 0;
        for (int i = 0; i < expected.length; i++) {
            assertThat(actual[i]).isFinite();
            error += Math.pow(actual[i] - expected[i], 2);
            norm += expected[i] * expected[i];
        }
        assertThat(Math.sqrt(error / norm)).isLessThan(1e-5);
    }

    @ParameterizedTest
    @CsvSource({"24, 0", "24, 1", "8, 0", "8, 1"})
    void rmsNorm(int width, float offset) {
        float[] x = values(ROWS * 24);
        float[] w = values(width);
        RowGroup rows = group();
        rows.put(0, Pt.floats(manager, x, ROWS, 24));
        double[] expected = new double[x.length];
        for (int from = 0; from < x.length; from += width) {
            double sum = 0;
            for (int i = 0; i < width; i++) {
                sum += (double) x[from + i] * x[from + i];
            }
            for (int i = 0; i < width; i++) {
                expected[from + i] = x[from + i] / Math.sqrt(sum / width + 0.1f) * (w[i] + offset);
            }
        }
        Op op = new Op.RmsNorm(0, 5, 1, width, 0.1f, offset);
        assertClose(run(op, rows, 1, Map.of(5, Pt.floats(manager, w, width)), List.of()), expected);
    }

    @ParameterizedTest
    @CsvSource({"16, false", "16, true", "12, false", "12, true"})
    void ropeWholeAndPartial(int dims, boolean pairs) {
        int heads = 3;
        float[] x = values(ROWS * heads * 16);
        int[] positions = {0, 1, 7, 300, 511};
        RopeFrequencies frequencies = RopeFrequencies.of(Rope.plain(Rope.Layout.HALVES, 10000, dims), 512);
        RowGroup rows = group();
        Op.Rope op = new Op.Rope(0, 1, heads, 16, dims, pairs, 0);
        rows.turn(op, new RopeTable(frequencies, 512), positions);
        rows.put(0, Pt.floats(manager, x, ROWS, heads * 16));
        double[] expected = IntStream.range(0, x.length).mapToDouble(i -> x[i]).toArray();
        for (int head = 0; head < ROWS * heads; head++) {
            for (int i = 0; i < dims / 2; i++) {
                double angle = positions[head / heads] * frequencies.inverse()[i];
                int a = head * 16 + (pairs ? 2 * i : i);
                int b = head * 16 + (pairs ? 2 * i + 1 : i + dims / 2);
                expected[a] = x[a] * Math.cos(angle) - x[b] * Math.sin(angle);
                expected[b] = x[b] * Math.cos(angle) + x[a] * Math.sin(angle);
            }
        }
        assertClose(run(op, rows, 1, Map.of(), List.of()), expected);
    }

    @Test
    void elementwise() {
        float[] a = values(ROWS * 6);
        float[] b = values(ROWS * 6);
        RowGroup rows = group();
        rows.put(0, Pt.floats(manager, a, ROWS, 6));
        rows.put(1, Pt.floats(manager, b, ROWS, 6));
        double[] silu = new double[a.length];
        double[] gelu = new double[a.length];
        double[] add = new double[a.length];
        double[] cap = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            double x = a[i];
            silu[i] = x / (1 + Math.exp(-x)) * b[i];
            gelu[i] = x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))) * b[i];
            add[i] = x + b[i] * 0.22;
            cap[i] = Math.tanh(x / 1.5) * 1.5;
        }
        assertClose(run(new Op.Gated(0, 1, 2, Op.Gated.Function.SILU), rows, 2, Map.of(), List.of()), silu);
        assertClose(run(new Op.Gated(0, 1, 3, Op.Gated.Function.GELU_TANH), rows, 3, Map.of(), List.of()), gelu);
        assertClose(run(new Op.Add(0, 1, 4, 0.22f), rows, 4, Map.of(), List.of()), add);
        assertClose(run(new Op.SoftCap(0, 5, 1.5f), rows, 5, Map.of(), List.of()), cap);
    }

    /** Window, soft cap, group size; a run that ends at row 3 and a single row of another sequence. */
    @ParameterizedTest
    @CsvSource({"0, 0, 2", "20, 0, 2", "130, 5, 1", "0, 2, 4", "1, 0, 1"})
    void attentionOverPages(int window, float softCap, int groupSize) {
        int kvHeads = 2;
        int dim = 8;
        int heads = kvHeads * groupSize;
        int[] contexts = {203, 141};
        KvLayout.Group layout = new KvLayout.Group(40, 1, kvHeads, dim, dim, window, "f32");
        TorchKvCache cache = new TorchKvCache(manager, layout, BLOCK);
        int[][] blocks = new int[2][];
        float[][] k = new float[2][];
        float[][] v = new float[2][];
        for (int s = 0; s < 2; s++) {
            int parity = s;
            blocks[s] = IntStream.range(0, 14).map(i -> 39 - (2 * i + parity)).toArray();
            k[s] = values(contexts[s] * kvHeads * dim);
            v[s] = values(contexts[s] * kvHeads * dim);
            int[] slots = new int[contexts[s]];
            for (int j = 0; j < slots.length; j++) {
                slots[j] = blocks[s][j / BLOCK] * BLOCK + j % BLOCK;
            }
            cache.write(
                    0,
                    new ai.djl.ndarray.index.NDIndex("{}", Pt.longs(manager, cache.rowIndex(slots))),
                    Pt.floats(manager, k[s], contexts[s], kvHeads * dim),
                    Pt.floats(manager, v[s], contexts[s], kvHeads * dim));
        }
        int[] positions = {199, 200, 201, 202, 140};
        StepInputs in = new StepInputs(
                new int[ROWS],
                positions,
                new int[][] {new int[ROWS]},
                new int[] {0, 4, 5},
                contexts,
                new int[][][] {blocks},
                new int[0],
                new SamplingRow[0],
                new int[2]);
        RowGroup rows = group();
        Op.Attention op = new Op.Attention(0, 1, 0, 0, heads, kvHeads, dim, dim, window, 0.3f, softCap);
        rows.geometry(0, window, new AttentionPlanner(BLOCK, kvHeads, 0, window, in, rows).plan());
        float[] q = values(ROWS * heads * dim);
        rows.put(0, Pt.floats(manager, q, ROWS, heads * dim));
        double[] expected = new double[q.length];
        for (int row = 0; row < ROWS; row++) {
            int s = row < 4 ? 0 : 1;
            for (int h = 0; h < heads; h++) {
                attend(
                        expected,
                        (row * heads + h) * dim,
                        q,
                        k[s],
                        v[s],
                        positions[row],
                        window,
                        softCap,
                        h / groupSize,
                        kvHeads,
                        dim);
            }
        }
        assertClose(run(op, rows, 1, Map.of(), List.of(cache)), expected);
    }

    private static void attend(
            double[] out,
            int at,
            float[] q,
            float[] k,
            float[] v,
            int position,
            int window,
            float softCap,
            int kvHead,
            int kvHeads,
            int dim) {
        int first = window == 0 ? 0 : Math.max(0, position - window + 1);
        double[] weights = new double[position + 1];
        double sum = 0;
        for (int j = first; j <= position; j++) {
            double score = 0;
            for (int d = 0; d < dim; d++) {
                score += (double) q[at + d] * k[(j * kvHeads + kvHead) * dim + d];
            }
            score *= 0.3f;
            weights[j] = Math.exp(softCap == 0 ? score : Math.tanh(score / softCap) * softCap);
            sum += weights[j];
        }
        for (int j = first; j <= position; j++) {
            for (int d = 0; d < dim; d++) {
                out[at + d] += weights[j] / sum * v[(j * kvHeads + kvHead) * dim + d];
            }
        }
    }
}
