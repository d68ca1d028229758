package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.engine.Engine;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.program.Op;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Ops of encoders against their contract in double precision. */
class PooledOpsTest {

    private static final int ROWS = 9;

    private final Random random = new Random(4);
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

    private RowGroup group(int rows) {
        return new RowGroup(manager, 0, rows, new int[rows], 8);
    }

    private float[] run(Op op, RowGroup rows, int out, Map<Integer, PtNDArray> weights) {
        new Interpreter(TorchWeights.of(Map.of(), weights), List.of(), new Constants(manager), team, true)
                .run(op, rows, true);
        return rows.get(out).toFloatArray();
    }

    private static void assertClose(float[] actual, double[] expected) {
        assertThat(actual).hasSize(expected.length);
        double error = 0;
        double norm = 0;
        for (int i = 0; i < expected.length; i++) {
            error += Math.pow(actual[i] - expected[i], 2);
            norm += expected[i] * expected[i];
        }
        assertThat(Math.sqrt(error / norm)).isLessThan(1e-5);
    }

    @ParameterizedTest
    @CsvSource({"24, true", "40, false"})
    void layerNorm(int width, boolean biased) {
        float[] x = values(ROWS * width);
        float[] w = values(width);
        float[] b = values(width);
        RowGroup rows = group(ROWS);
        rows.put(0, Pt.floats(manager, x, ROWS, width));
        double[] expected = new double[x.length];
        for (int from = 0; from < x.length; from += width) {
            double mean = 0;
            double variance = 0;
            for (int i = 0; i < width; i++) {
                mean += x[from + i] / (double) width;
            }
            for (int i = 0; i < width; i++) {
                variance += Math.pow(x[from + i] - mean, 2) / width;
            }
            for (int i = 0; i < width; i++) {
                expected[from + i] = (x[from + i] - mean) / Math.sqrt(variance + 0.1f) * w[i] + (biased ? b[i] : 0);
            }
        }
        Op op = new Op.LayerNorm(0, 5, biased ? 6 : Op.NONE, 1, width, 0.1f);
        assertClose(
                run(op, rows, 1, Map.of(5, Pt.floats(manager, w, width), 6, Pt.floats(manager, b, width))), expected);
    }

    @ParameterizedTest
    @EnumSource
    void activations(Op.Activation.Function function) {
        int width = 7;
        float[] x = values(ROWS * width);
        RowGroup rows = group(ROWS);
        rows.put(0, Pt.floats(manager, x, ROWS, width));
        double[] expected = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            double v = x[i];
            expected[i] = switch (function) {
                case GELU -> v * normal(v);
                case GELU_TANH -> v / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
                case RELU -> Math.max(0, v);
                case SILU -> v / (1 + Math.exp(-v));
                case TANH -> Math.tanh(v);
            };
        }
        assertClose(run(new Op.Activation(0, 1, function), rows, 1, Map.of()), expected);
    }

    /** The normal distribution's share below v, by Simpson's rule. */
    private static double normal(double v) {
        int n = 2000;
        double h = v / n;
        double sum = 0;
        for (int i = 0; i <= n; i++) {
            double weight = i == 0 || i == n ? 1 : i % 2 == 0 ? 2 : 4;
            sum += weight * Math.exp(-0.5 * (i * h) * (i * h));
        }
        return 0.5 + sum * h / 3 / Math.sqrt(2 * Math.PI);
    }

    @Test
    void tablesOfPositionsAndTypes() {
        float[] table = values(12 * 3);
        RowGroup rows = group(3);
        int[] places = {0, 7, 3};
        rows.put(1, rows.ofRows(places, 2));
        float[] positions = run(new Op.EmbedPositions(5, 1, 2), rows, 1, Map.of(5, Pt.floats(manager, table, 12, 3)));
        rows.put(2, rows.ofRows(new int[] {1, 0, 1}, 0));
        float[] types = run(new Op.EmbedTypes(5, 2), rows, 2, Map.of(5, Pt.floats(manager, table, 12, 3)));
        for (int row = 0; row < 3; row++) {
            for (int i = 0; i < 3; i++) {
                assertThat(positions[row * 3 + i]).isEqualTo(table[(places[row] + 2) * 3 + i]);
                assertThat(types[row * 3 + i]).isEqualTo(table[(row == 1 ? 0 : 1) * 3 + i]);
            }
        }
    }

    /** Two sequences, one of several tiles, each seeing itself alone. */
    @ParameterizedTest
    @CsvSource({
        "131, false, 0, 0, 1",
        "131, true, 0, 0, 2",
        "131, false, 5, 0, 2",
        "300, true, 20, 3, 4",
        "128, false, 0, 2, 1",
        "1100, true, 0, 0, 1"
    })
    void selfAttention(int first, boolean causal, int window, float softCap, int groupSize) {
        int kvHeads = 2;
        int dim = 4;
        int heads = kvHeads * groupSize;
        int[] starts = {0, first, first + 9};
        int total = first + 9;
        RowGroup rows = group(total);
        float[] q = values(total * heads * dim);
        float[] k = values(total * kvHeads * dim);
        float[] v = values(total * kvHeads * dim);
        rows.put(0, Pt.floats(manager, q, total, heads * dim));
        rows.put(1, Pt.floats(manager, k, total, kvHeads * dim));
        rows.put(2, Pt.floats(manager, v, total, kvHeads * dim));
        Op.SelfAttention op = new Op.SelfAttention(0, 1, 2, 3, heads, kvHeads, dim, dim, causal, window, 0.4f, softCap);
        rows.plan(op, StepInputs.whole(new int[total], starts, new int[total]));
        double[] expected = new double[q.length];
        for (int s = 0; s < 2; s++) {
            for (int row = starts[s]; row < starts[s + 1]; row++) {
                for (int h = 0; h < heads; h++) {
                    int kv = h / groupSize;
                    double sum = 0;
                    for (int j = starts[s]; j < starts[s + 1]; j++) {
                        if (causal && j > row || window > 0 && Math.abs(j - row) >= window) {
                            continue;
                        }
                        double score = 0;
                        for (int d = 0; d < dim; d++) {
                            score += (double) q[(row * heads + h) * dim + d] * k[(j * kvHeads + kv) * dim + d];
                        }
                        score *= 0.4f;
                        double weight = Math.exp(softCap == 0 ? score : Math.tanh(score / softCap) * softCap);
                        sum += weight;
                        for (int d = 0; d < dim; d++) {
                            expected[(row * heads + h) * dim + d] += weight * v[(j * kvHeads + kv) * dim + d];
                        }
                    }
                    for (int d = 0; d < dim; d++) {
                        expected[(row * heads + h) * dim + d] /= sum;
                    }
                }
            }
        }
        assertClose(run(op, rows, 3, Map.of()), expected);
    }
}
