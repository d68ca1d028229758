package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.engine.Engine;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Transposed slabs: the right values, and the same bits for any number of rows. */
class MatrixTest {

    @Test
    void slabsCoverAllColumnsWithoutASliver() {
        for (int threads = 1; threads <= 4; threads++) {
            for (int out = 1; out < 3000; out++) {
                int[] bounds = Matrix.bounds(out, threads);
                assertThat(bounds[0]).isZero();
                assertThat(bounds[bounds.length - 1]).isEqualTo(out);
                for (int i = 1; i < bounds.length; i++) {
                    assertThat(bounds[i] - bounds[i - 1]).isBetween(Math.min(out, 16), Matrix.MAX_WIDTH + 16);
                }
            }
        }
    }

    @Test
    void theShapeOfWhatThreadsShareIsKnownBeforehand() throws Exception {
        var shape = PtNDArray.class.getDeclaredField("shape");
        shape.setAccessible(true);
        try (PtNDManager manager = (PtNDManager) Engine.getEngine("PyTorch").newBaseManager();
                Arena arena = Arena.ofShared()) {
            PtNDArray weight = Matrix.wrap(arena.allocate(4L * 8, 64), manager, 2, 4);
            assertThat(shape.get(weight)).isEqualTo(new ai.djl.ndarray.types.Shape(2, 4));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {64, 576, 1536, 2048, 4096, 8192})
    void productsAreRightAndTheirBitsDoNotDependOnTheNumberOfRows(int in) {
        Random random = new Random(in);
        int out = 300;
        try (PtNDManager manager = (PtNDManager) Engine.getEngine("PyTorch").newBaseManager();
                Arena arena = Arena.ofShared()) {
            Pt.oneThread();
            MemorySegment stored = arena.allocate(4L * out * in, 64);
            for (long i = 0; i < (long) out * in; i++) {
                stored.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
            }
            WeightTensor tensor = new WeightTensor("w", DType.F32, new long[] {out, in}, stored);
            float[] x = new float[TorchRuntime.GROUP_ROWS * in];
            for (int i = 0; i < x.length; i++) {
                x[i] = (float) random.nextGaussian();
            }
            for (int threads = 1; threads <= 3; threads++) {
                int[] bounds = Matrix.bounds(out, threads);
                for (int s = 0; s + 1 < bounds.length; s++) {
                    Matrix.Slab slab = Matrix.load(tensor, in, bounds[s], bounds[s + 1], arena, manager);
                    float[] all = product(manager, x, TorchRuntime.GROUP_ROWS, in, slab);
                    assertThat((double) all[0])
                            .isCloseTo(
                                    dot(x, stored, in, slab.from()),
                                    org.assertj.core.api.Assertions.within(1e-3 * Math.sqrt(in)));
                    for (int rows : new int[] {Pt.MIN_ROWS, 5, 8, 15, 16, 17, 31, 64, 65, 100, 127}) {
                        float[] some = product(manager, x, rows, in, slab);
                        assertThat(some)
                                .as("%d rows of %d, width %d", rows, in, slab.width())
                                .isEqualTo(Arrays.copyOf(all, some.length));
                    }
                }
            }
        }
    }

    private static float[] product(PtNDManager manager, float[] x, int rows, int in, Matrix.Slab slab) {
        try (PtNDArray a = Pt.floats(manager, Arrays.copyOf(x, rows * in), rows, in);
                PtNDArray y = JniUtils.matmul(a, slab.weights())) {
            return y.toFloatArray();
        }
    }

    private static double dot(float[] x, MemorySegment stored, int in, int row) {
        double sum = 0;
        for (int i = 0; i < in; i++) {
            sum += (double) x[i] * stored.getAtIndex(ValueLayout.JAVA_FLOAT, (long) row * in + i);
        }
        return sum;
    }
}
