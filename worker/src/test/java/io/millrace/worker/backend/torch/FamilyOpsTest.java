package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.engine.Engine;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.program.Op;
import io.millrace.worker.sampling.SamplingRow;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Ops of single families against their contract in double precision: experts, latent attention. */
class FamilyOpsTest {

    private static final int ROWS = 7;
    private static final int HIDDEN = 24;

    private final Random random = new Random(11);
    private PtNDManager manager;
    private ThreadTeam team;

    @BeforeEach
    void open() {
        manager = (PtNDManager) Engine.getEngine("PyTorch").newBaseManager();
        team = new ThreadTeam("test", 2, Pt::oneThread);
        Pt.oneThread();
    }

    @AfterEach
    void close() {
        team.close();
        manager.close();
    }

    @ParameterizedTest
    @CsvSource({"2, false, 1, 1, 1", "3, true, 1, 1, 1", "3, true, 2.5, 4, 2", "2, false, 16, 4, 1", "12, true, 1, 1, 1"
    })
    void expertsAreChosenWeighedAndAdded(int active, boolean renormalise, float scale, int groups, int kept) {
        int count = 12;
        int wide = 20;
        float[] x = values(ROWS * HIDDEN);
        float[] router = values(count * HIDDEN);
        List<float[]> gates = many(count, wide * HIDDEN);
        List<float[]> ups = many(count, wide * HIDDEN);
        List<float[]> downs = many(count, HIDDEN * wide);
        Map<Integer, Matrix> matrices = new HashMap<>();
        matrices.put(1, matrix(router, count, HIDDEN));
        List<Integer> gateHandles = put(matrices, 100, gates, wide, HIDDEN);
        List<Integer> upHandles = put(matrices, 200, ups, wide, HIDDEN);
        List<Integer> downHandles = put(matrices, 300, downs, HIDDEN, wide);
        RowGroup rows = new RowGroup(manager, 0, ROWS, new int[ROWS], 8);
        rows.put(0, Pt.floats(manager, x, ROWS, HIDDEN));
        Interpreter interpreter =
                new Interpreter(TorchWeights.of(matrices, Map.of()), List.of(), new Constants(manager), team);
        interpreter.run(new Op.MoeRoute(0, 1, 2, 3, active, renormalise, scale, groups, kept), rows, true);
        interpreter.run(
                new Op.MoeExperts(0, 2, 3, gateHandles, upHandles, downHandles, 4, Op.Gated.Function.SILU), rows, true);
        double[] expected = new double[x.length];
        for (int t = 0; t < ROWS; t++) {
            double[] row = IntStream.range(t * HIDDEN, (t + 1) * HIDDEN)
                    .mapToDouble(i -> x[i])
                    .toArray();
            double[] p = softmax(product(router, row, count));
            List<Integer> chosen = choose(p, active, groups, kept);
            double sum = chosen.stream().mapToDouble(e -> p[e]).sum();
            for (int e : chosen) {
                double[] gate = product(gates.get(e), row, wide);
                double[] up = product(ups.get(e), row, wide);
                double[] inner = new double[wide];
                for (int i = 0; i < wide; i++) {
                    inner[i] = gate[i] / (1 + Math.exp(-gate[i])) * up[i];
                }
                double[] made = product(downs.get(e), inner, HIDDEN);
                for (int i = 0; i < HIDDEN; i++) {
                    expected[t * HIDDEN + i] += (renormalise ? p[e] / sum : p[e]) * scale * made[i];
                }
            }
        }
        assertClose(rows.get(4).toFloatArray(), expected);
    }

    @Test
    void aGateIsForAnEqualRunOfValues() {
        float[] x = values(ROWS * HIDDEN);
        float[] gate = values(ROWS * 3);
        RowGroup rows = new RowGroup(manager, 0, ROWS, new int[ROWS], 8);
        rows.put(0, Pt.floats(manager, x, ROWS, HIDDEN));
        rows.put(1, Pt.floats(manager, gate, ROWS, 3));
        new Interpreter(TorchWeights.of(Map.of(), Map.of()), List.of(), new Constants(manager), team)
                .run(new Op.SigmoidScale(0, 1, 2), rows, true);
        double[] expected = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            int t = i / HIDDEN;
            expected[i] = x[i] / (1 + Math.exp(-gate[t * 3 + i % HIDDEN / 8]));
        }
        assertClose(rows.get(2).toFloatArray(), expected);
    }

    /** Against attention over keys and values that are made from the latents first. */
    @Test
    void latentAttentionIsAttentionOverExpandedKeysAndValues() {
        int heads = 3;
        int nope = 10;
        int rope = 6;
        int rank = 12;
        int value = 9;
        int[] contexts = {203, 141};
        float[][] latents = new float[2][];
        float[][] turned = new float[2][];
        int[][] blocks = new int[2][];
        TorchKvCache cache = new TorchKvCache(manager, new KvLayout.Group(40, 1, 1, rank, rope, 0, "f32"), 16);
        for (int s = 0; s < 2; s++) {
            int parity = s;
            blocks[s] = IntStream.range(0, 14).map(i -> 39 - (2 * i + parity)).toArray();
            latents[s] = values(contexts[s] * rank);
            turned[s] = values(contexts[s] * rope);
            int[] own = blocks[s];
            int[] slots = IntStream.range(0, contexts[s])
                    .map(j -> own[j / 16] * 16 + j % 16)
                    .toArray();
            cache.write(
                    0,
                    new NDIndex("{}", Pt.longs(manager, cache.rowIndex(slots))),
                    Pt.floats(manager, latents[s], contexts[s], rank),
                    Pt.floats(manager, turned[s], contexts[s], rope));
        }
        float[] qNope = values(ROWS * heads * nope);
        float[] qRope = values(ROWS * heads * rope);
        float[] keyUp = values(heads * nope * rank);
        float[] valueUp = values(heads * value * rank);
        int[] positions = {197, 198, 199, 200, 201, 202, 140};
        StepInputs in = new StepInputs(
                new int[ROWS],
                positions,
                new int[][] {new int[ROWS]},
                new int[] {0, 6, 7},
                contexts,
                new int[][][] {blocks},
                new int[0],
                new SamplingRow[0],
                new int[2]);
        RowGroup rows = new RowGroup(manager, 0, ROWS, new int[ROWS], 8);
        rows.geometry(0, 0, new AttentionPlanner(16, 1, 0, 0, in, rows).plan());
        rows.put(0, Pt.floats(manager, qNope, ROWS, heads * nope));
        rows.put(1, Pt.floats(manager, qRope, ROWS, heads * rope));
        Map<Integer, PtNDArray> arrays = Map.of(
                2, Pt.floats(manager, keyUp, heads, nope, rank),
                3, Pt.floats(manager, turnedHeads(valueUp, heads, value, rank), heads, rank, value));
        new Interpreter(TorchWeights.of(Map.of(), arrays), List.of(cache), new Constants(manager), team)
                .run(new Op.LatentAttention(0, 1, 2, 3, 4, 0, 0, heads, nope, rope, rank, value, 0.2f), rows, true);
        double[] expected = new double[ROWS * heads * value];
        for (int t = 0; t < ROWS; t++) {
            int s = t < 6 ? 0 : 1;
            for (int h = 0; h < heads; h++) {
                int length = positions[t] + 1;
                double[] scores = new double[length];
                double[][] values = new double[length][];
                for (int j = 0; j < length; j++) {
                    double[] c = row(latents[s], j, rank);
                    double[] key = product(Arrays.copyOfRange(keyUp, h * nope * rank, (h + 1) * nope * rank), c, nope);
                    values[j] =
                            product(Arrays.copyOfRange(valueUp, h * value * rank, (h + 1) * value * rank), c, value);
                    scores[j] = 0.2f
                            * (dot(row(qNope, t * heads + h, nope), key)
                                    + dot(row(qRope, t * heads + h, rope), row(turned[s], j, rope)));
                }
                double[] p = softmax(scores);
                for (int j = 0; j < length; j++) {
                    for (int i = 0; i < value; i++) {
                        expected[(t * heads + h) * value + i] += p[j] * values[j][i];
                    }
                }
            }
        }
        assertClose(rows.get(4).toFloatArray(), expected);
    }

    private static List<Integer> choose(double[] p, int active, int groups, int kept) {
        int size = p.length / groups;
        List<Integer> open = new ArrayList<>();
        IntStream.range(0, groups)
                .boxed()
                .sorted(Comparator.comparingDouble(g -> -IntStream.range(g * size, (g + 1) * size)
                        .mapToDouble(e -> p[e])
                        .max()
                        .orElseThrow()))
                .limit(kept)
                .forEach(g -> IntStream.range(g * size, (g + 1) * size).forEach(open::add));
        return open.stream()
                .sorted(Comparator.comparingDouble(e -> -p[e]))
                .limit(active)
                .toList();
    }

    private Matrix matrix(float[] values, int out, int in) {
        float[] turned = new float[Math.max(out, 32) * in];
        for (int o = 0; o < out; o++) {
            for (int i = 0; i < in; i++) {
                turned[i * Math.max(out, 32) + o] = values[o * in + i];
            }
        }
        PtNDArray weights = Pt.floats(manager, turned, in, Math.max(out, 32));
        return Matrix.of(out, in, List.of(new Matrix.Slab(0, out, weights)));
    }

    private List<Integer> put(Map<Integer, Matrix> matrices, int first, List<float[]> values, int out, int in) {
        List<Integer> handles = new ArrayList<>();
        for (int e = 0; e < values.size(); e++) {
            matrices.put(first + e, matrix(values.get(e), out, in));
            handles.add(first + e);
        }
        return handles;
    }

    private List<float[]> many(int count, int size) {
        return IntStream.range(0, count).mapToObj(i -> values(size)).toList();
    }

    private float[] values(int n) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            values[i] = (float) random.nextGaussian() * 0.5f;
        }
        return values;
    }

    private static float[] turnedHeads(float[] values, int heads, int n, int m) {
        float[] result = new float[values.length];
        for (int h = 0; h < heads; h++) {
            for (int i = 0; i < n; i++) {
                for (int j = 0; j < m; j++) {
                    result[(h * m + j) * n + i] = values[(h * n + i) * m + j];
                }
            }
        }
        return result;
    }

    private static double[] row(float[] values, int row, int width) {
        return IntStream.range(row * width, (row + 1) * width)
                .mapToDouble(i -> values[i])
                .toArray();
    }

    private static double dot(double[] a, double[] b) {
        return IntStream.range(0, a.length).mapToDouble(i -> a[i] * b[i]).sum();
    }

    private static double[] product(float[] matrix, double[] x, int out) {
        double[] result = new double[out];
        for (int o = 0; o < out; o++) {
            result[o] = dot(row(matrix, o, x.length), x);
        }
        return result;
    }

    private static double[] softmax(double[] scores) {
        double max = Arrays.stream(scores).max().orElseThrow();
        double sum = Arrays.stream(scores).map(s -> Math.exp(s - max)).sum();
        return Arrays.stream(scores).map(s -> Math.exp(s - max) / sum).toArray();
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
}
