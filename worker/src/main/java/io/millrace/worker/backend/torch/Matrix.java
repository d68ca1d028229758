package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * A weight [out, in], kept transposed as [in, width] slabs of output columns: threads share a product by slabs, and a product of
 * {@link Pt#MIN_ROWS} rows or more sums each output element in the same order, however many rows there are (with the other layout it does not).
 */
final class Matrix {

    /** Of a slab; in streaming weights from memory about 250 columns were fastest. */
    static final int MAX_WIDTH = 288;

    private static final int ALIGNMENT = 64;
    private static final int TILE = 16;

    /** A product with fewer columns has a kernel of its own, whose bits depend on the number of rows. */
    private static final int MIN_WIDTH = 32;

    /**
     * Columns [from, from + width) of the output.
     *
     * @param weights [in, width], with columns of zeros up to {@link #MIN_WIDTH}
     */
    record Slab(int from, int width, PtNDArray weights) {

        /** x [rows, in] · weights: [rows, width]. */
        PtNDArray product(PtNDArray x) {
            PtNDArray y = JniUtils.matmul(x, weights);
            if (weights.getShape().get(1) == width) {
                return y;
            }
            try (y;
                    PtNDArray part = Pt.slice(y, 1, 0, width)) {
                return Pt.cat(List.of(part), 1);
            }
        }
    }

    private final int out;
    private final int in;
    private final List<Slab> slabs;

    private Matrix(int out, int in, List<Slab> slabs) {
        this.out = out;
        this.in = in;
        this.slabs = slabs;
    }

    int out() {
        return out;
    }

    int in() {
        return in;
    }

    List<Slab> slabs() {
        return slabs;
    }

    /** Where slabs begin, and the end. */
    static int[] bounds(int out, int threads) {
        int parts = out <= 256 ? 1 : Math.max(threads, (out + MAX_WIDTH - 1) / MAX_WIDTH);
        int width = ((out + parts - 1) / parts + 31) / 32 * 32;
        List<Integer> bounds = new ArrayList<>();
        for (int at = 0; at < out; at += width) {
            bounds.add(at);
        }
        // A product with few columns has a kernel of its own.
        if (bounds.size() > 1 && out - bounds.getLast() < TILE) {
            bounds.removeLast();
        }
        bounds.add(out);
        return bounds.stream().mapToInt(Integer::intValue).toArray();
    }

    /** Assembles a matrix of slabs that were loaded in any order. */
    static Matrix of(int out, int in, List<Slab> slabs) {
        return new Matrix(out, in, List.copyOf(slabs));
    }

    /** Reads and transposes the output columns [from, to); the memory is the arena's. */
    static Slab load(WeightTensor tensor, int in, int from, int to, Arena arena, PtNDManager manager) {
        int width = to - from;
        int columns = Math.max(width, MIN_WIDTH);
        MemorySegment memory = arena.allocate((long) in * columns * Float.BYTES, ALIGNMENT);
        float[] tile = new float[TILE * in];
        for (int row = 0; row < width; row += TILE) {
            int rows = Math.min(TILE, width - row);
            Dequantizer.finiteRows(tensor, from + row, rows, tile, 0);
            for (int k = 0; k < in; k++) {
                long at = (long) k * columns + row;
                for (int r = 0; r < rows; r++) {
                    memory.setAtIndex(ValueLayout.JAVA_FLOAT, at + r, tile[r * in + k]);
                }
            }
        }
        return new Slab(from, width, wrap(memory, manager, in, columns));
    }

    /** x [rows, in] · matrix: [rows, out], by the calling thread. */
    PtNDArray product(PtNDArray x) {
        return Pt.join(slabs.stream().map(slab -> slab.product(x)).toList(), 1);
    }

    /** A segment as an array that uses its memory. */
    static PtNDArray wrap(MemorySegment memory, PtNDManager manager, long... shape) {
        return Pt.shared(manager.create(
                memory.asByteBuffer().order(ByteOrder.nativeOrder()), new Shape(shape), DataType.FLOAT32));
    }
}
