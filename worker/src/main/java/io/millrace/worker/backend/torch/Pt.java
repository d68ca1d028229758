package io.millrace.worker.backend.torch;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * The few PyTorch calls that the interpreter makes. A result belongs to the manager of the first argument, so that argument is
 * always of the step, never a weight.
 */
final class Pt {

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

    /** Rows of a table [n, width]: [indices, width]. */
    static PtNDArray rows(PtNDArray indices, PtNDArray table) {
        return JniUtils.embedding(indices, table, false);
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
