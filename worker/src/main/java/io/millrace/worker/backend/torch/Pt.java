package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * The few PyTorch calls that the interpreter makes. A result belongs to the manager of the first argument, so that argument is
 * always of the step, never a weight.
 */
final class Pt {

    /**
     * Fewest rows of a product. With fewer the library has other kernels, on some processors for one row, on others for up to three,
     * and other bits.
     */
    static final int MIN_ROWS = 4;

    /** A multiple of the values that the library takes at a time. */
    private static final int VECTORS = 64;

    private Pt() {}

    /** Every matrix product runs on the calling thread alone. To be called once by each thread that computes. */
    static void oneThread() {
        JniUtils.setNumThreads(1);
    }

    static PtNDArray floats(PtNDManager manager, float[] values, long... shape) {
        ByteBuffer buffer =
                ByteBuffer.allocateDirect(values.length * Float.BYTES).order(ByteOrder.nativeOrder());
        buffer.asFloatBuffer().put(values);
        return manager.create(buffer, new Shape(shape), DataType.FLOAT32);
    }

    static PtNDArray longs(PtNDManager manager, long[] values) {
        ByteBuffer buffer =
                ByteBuffer.allocateDirect(values.length * Long.BYTES).order(ByteOrder.nativeOrder());
        buffer.asLongBuffer().put(values);
        return manager.create(buffer, new Shape(values.length), DataType.INT64);
    }

    /**
     * The array, fit to be handed to several threads at once. The library finds out an array's shape when it is first asked and keeps it
     * without synchronisation, in an object whose fields another thread may still see as null; so it is asked beforehand.
     */
    static PtNDArray shared(PtNDArray x) {
        x.getShape();
        return x;
    }

    /** Rows of a table [n, width]: [indices, width]. */
    static PtNDArray rows(PtNDArray indices, PtNDArray table) {
        return JniUtils.embedding(indices, table, false);
    }

    /** Sigmoid of each value. */
    static PtNDArray sigmoid(PtNDArray x) {
        return whole(x, JniUtils::sigmoid);
    }

    /** Hyperbolic tangent of each value. */
    static PtNDArray tanh(PtNDArray x) {
        return whole(x, JniUtils::tanh);
    }

    /** GELU of each value, by the error function. */
    static PtNDArray gelu(PtNDArray x) {
        return whole(x, JniUtils::gelu);
    }

    /**
     * A function of each value. The library computes values that do not fill its vectors in another way, with other bits; so where
     * there are such, zeros are added.
     */
    private static PtNDArray whole(PtNDArray x, UnaryOperator<PtNDArray> function) {
        long n = x.getShape().size();
        long missing = (VECTORS - n % VECTORS) % VECTORS;
        if (missing == 0) {
            return function.apply(x);
        }
        try (PtNDArray flat = reshape(x, n);
                PtNDArray zeros = floats(x.getManager(), new float[(int) missing], missing);
                PtNDArray filled = cat(List.of(flat, zeros), 0);
                PtNDArray all = function.apply(filled);
                PtNDArray own = slice(all, 0, 0, n)) {
            return reshape(own, x.getShape().getShape());
        }
    }

    static PtNDArray slice(PtNDArray x, int dim, long from, long to) {
        return JniUtils.slice(x, dim, from, to, 1);
    }

    static PtNDArray reshape(PtNDArray x, long... shape) {
        return JniUtils.reshape(x, shape);
    }

    static PtNDArray cat(List<PtNDArray> parts, int dim) {
        return JniUtils.cat(parts.toArray(PtNDArray[]::new), dim);
    }

    /** Closes parts after joining them; a single part is the result itself. */
    static PtNDArray join(List<PtNDArray> parts, int dim) {
        if (parts.size() == 1) {
            return parts.getFirst();
        }
        PtNDArray all = cat(parts, dim);
        parts.forEach(PtNDArray::close);
        return all;
    }

    /** The array's own memory, in native order; valid as long as the array is. */
    static ByteBuffer view(PtNDArray x) {
        return JniUtils.getByteBuffer(x, true).order(ByteOrder.nativeOrder());
    }

    /** Boundaries of near-equal parts. */
    static int[] split(int n, int parts) {
        int[] bounds = new int[parts + 1];
        for (int i = 0; i <= parts; i++) {
            bounds[i] = (int) ((long) n * i / parts);
        }
        return bounds;
    }
}
