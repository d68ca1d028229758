package io.millrace.worker.model.weights;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Stored values to float32. A tensor's rows are its last dimension; all other dimensions count rows. Stateless.
 *
 * <p>Values equal those of the {@code gguf} Python package bit for bit: products in float32, no fused multiply-add.
 */
public final class Dequantizer {

    private static final int CHUNK_VALUES = 1 << 14;
    /** Formats that pack rows together are read more than one row at a time. */
    private static final int PACKED_VALUES = 1 << 17;

    private static final ValueLayout.OfInt BITS = ValueLayout.JAVA_INT_UNALIGNED;
    private static final int MAGNITUDE = 0x7FFF_FFFF;
    private static final int INFINITE = 0x7F80_0000;

    private Dequantizer() {}

    /** Values of a row. */
    public static long columns(WeightTensor tensor) {
        long[] shape = tensor.shape();
        return shape.length == 0 ? 1 : shape[shape.length - 1];
    }

    /** Number of rows. */
    public static long rows(WeightTensor tensor) {
        long columns = columns(tensor);
        return columns == 0 ? 0 : tensor.elements() / columns;
    }

    /** Rows {@code first} to {@code first + count - 1} into {@code out} from {@code offset} on. MR-WEIGHTS-002 to -004. */
    public static void rows(WeightTensor tensor, long first, long count, float[] out, int offset) {
        rows(tensor, first, count, MemorySegment.ofArray(out).asSlice(4L * offset));
    }

    /**
     * Rows {@code first} to {@code first + count - 1} into {@code out}, native-endian float32, packed.
     *
     * @throws MillraceException MR-WEIGHTS-002 when the file became shorter, -003 for a range outside the tensor or a segment too
     *     small
     */
    public static void rows(WeightTensor tensor, long first, long count, MemorySegment out) {
        long columns = columns(tensor);
        long values = checkRange(tensor, first, count, out);
        try {
            if (tensor.packed() == null) {
                stored(tensor, first * columns, values, out);
            } else {
                packed(tensor.packed(), first, count, columns, out);
            }
        } catch (InternalError e) {
            throw MappedFile.fault(tensor.described(), e);
        }
    }

    /**
     * As {@link #rows(WeightTensor, long, long, MemorySegment)}, for weights that are about to be used: a value that is no finite
     * number is refused.
     *
     * @throws MillraceException MR-WEIGHTS-006 naming tensor, file and place; otherwise as of the reading
     */
    public static void finiteRows(WeightTensor tensor, long first, long count, MemorySegment out) {
        rows(tensor, first, count, out);
        long values = count * columns(tensor);
        for (long from = 0; from < values; from += CHUNK_VALUES) {
            int n = (int) Math.min(CHUNK_VALUES, values - from);
            MemorySegment chunk = out.asSlice(4 * from, 4L * n);
            int largest = 0;
            for (int i = 0; i < n; i++) {
                largest = Math.max(largest, chunk.get(BITS, 4L * i) & MAGNITUDE);
            }
            if (largest >= INFINITE) {
                throw notFinite(tensor, first, out, from);
            }
        }
    }

    /** As {@link #finiteRows(WeightTensor, long, long, MemorySegment)}, into {@code out} from {@code offset} on. */
    public static void finiteRows(WeightTensor tensor, long first, long count, float[] out, int offset) {
        finiteRows(tensor, first, count, MemorySegment.ofArray(out).asSlice(4L * offset));
    }

    private static MillraceException notFinite(WeightTensor tensor, long first, MemorySegment out, long from) {
        long columns = columns(tensor);
        long at = from;
        while ((out.get(BITS, 4 * at) & MAGNITUDE) < INFINITE) {
            at++;
        }
        return new MillraceException(
                "MR-WEIGHTS-006",
                tensor.described() + " holds " + out.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * at) + " at row "
                        + (first + at / columns) + ", column " + at % columns
                        + ", where a number is needed: the model would answer nonsense. Fetch or convert it again.");
    }

    private static void stored(WeightTensor tensor, long from, long values, MemorySegment out) {
        DType dtype = tensor.dtype();
        int chunk = Math.max(CHUNK_VALUES / dtype.blockSize(), 1) * dtype.blockSize();
        byte[] bytes = new byte[(int) dtype.bytes(Math.min(chunk, values))];
        float[] floats = new float[(int) Math.min(chunk, values)];
        for (long done = 0; done < values; done += chunk) {
            int n = (int) Math.min(chunk, values - done);
            int size = (int) dtype.bytes(n);
            MemorySegment.copy(tensor.data(), ValueLayout.JAVA_BYTE, dtype.bytes(from + done), bytes, 0, size);
            decode(dtype, bytes, n, floats);
            MemorySegment.copy(floats, 0, out, ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * done, n);
        }
    }

    private static void packed(PackedWeight packed, long first, long count, long columns, MemorySegment out) {
        int step = (int) Math.clamp(PACKED_VALUES / Math.max(1, columns), 1, Math.max(1, count));
        float[] floats = new float[Math.toIntExact(step * columns)];
        for (long done = 0; done < count; done += step) {
            int n = (int) Math.min(step, count - done);
            packed.rows(first + done, n, floats, 0);
            MemorySegment.copy(
                    floats, 0, out, ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * done * columns, (int) (n * columns));
        }
    }

    /** {@code n} values from the {@code from}th on of a tensor whose values stand by themselves; MR-WEIGHTS-002 as of {@link #rows}. */
    public static void values(WeightTensor plain, long from, int n, float[] out, int offset) {
        byte[] bytes = new byte[(int) plain.dtype().bytes(n)];
        float[] floats = offset == 0 ? out : new float[n];
        try {
            MemorySegment.copy(
                    plain.data(), ValueLayout.JAVA_BYTE, plain.dtype().bytes(from), bytes, 0, bytes.length);
        } catch (InternalError e) {
            throw MappedFile.fault(plain.described(), e);
        }
        decode(plain.dtype(), bytes, n, floats);
        if (offset != 0) {
            System.arraycopy(floats, 0, out, offset, n);
        }
    }

    /** The whole tensor; MR-WEIGHTS-003 when it has 2^31 values or more. */
    public static float[] all(WeightTensor tensor) {
        long n = tensor.elements();
        if (n > Integer.MAX_VALUE - 16) {
            throw new MillraceException(
                    "MR-WEIGHTS-003",
                    "Tensor " + tensor.name() + " has " + n + " values, too many for one array. Read it in rows.");
        }
        float[] out = new float[(int) n];
        rows(tensor, 0, rows(tensor), out, 0);
        return out;
    }

    /** The whole tensor into {@code out}, by {@code threads} threads (so not of a confined arena) over its rows. Errors as of {@link #rows}. */
    public static void all(WeightTensor tensor, MemorySegment out, int threads) {
        long rows = rows(tensor);
        long columns = columns(tensor);
        if (threads <= 1 || tensor.elements() <= CHUNK_VALUES) {
            rows(tensor, 0, rows, out);
            return;
        }
        List<Callable<Void>> parts = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            long first = rows * i / threads;
            long end = rows * (i + 1) / threads;
            MemorySegment slice = out.asSlice(4 * first * columns, 4 * (end - first) * columns);
            parts.add(() -> {
                rows(tensor, first, end - first, slice);
                return null;
            });
        }
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (Future<Void> part : pool.invokeAll(parts)) {
                part.get();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-WEIGHTS-005", "Interrupted while reading tensor " + tensor.name() + ".", e);
        } catch (ExecutionException e) {
            throw e.getCause() instanceof MillraceException coded ? coded : new IllegalStateException(e.getCause());
        }
    }

    private static long checkRange(WeightTensor tensor, long first, long count, MemorySegment out) {
        long rows = rows(tensor);
        if (first < 0 || count < 0 || first > rows - count) {
            throw new MillraceException(
                    "MR-WEIGHTS-003",
                    "Rows " + first + " to " + (first + count - 1) + " of tensor " + tensor.name()
                            + " were asked for; it has " + rows + ".");
        }
        long values = count * columns(tensor);
        if (out.byteSize() < 4 * values) {
            throw new MillraceException(
                    "MR-WEIGHTS-003",
                    "Tensor " + tensor.name() + " needs room for " + values + " float32, there are " + out.byteSize()
                            + " bytes.");
        }
        return values;
    }

    private static void decode(DType dtype, byte[] in, int n, float[] out) {
        switch (dtype) {
            case F32, F16, BF16, F64, I8, U8, BOOL, I16, U16, I32, U32, I64, U64, F8_E4M3, F8_E5M2 ->
                PlainDecoder.decode(dtype, in, n, out);
            case Q4_0 -> LegacyBlocks.q4x0(in, n, out);
            case Q4_1 -> LegacyBlocks.q4x1(in, n, out);
            case Q5_0 -> LegacyBlocks.q5x0(in, n, out);
            case Q5_1 -> LegacyBlocks.q5x1(in, n, out);
            case Q8_0 -> LegacyBlocks.q8x0(in, n, out);
            case IQ4_NL -> LegacyBlocks.iq4nl(in, n, out);
            case Q2_K -> SuperBlocks.q2k(in, n, out);
            case Q3_K -> SuperBlocks.q3k(in, n, out);
            case Q4_K -> SuperBlocks.q4k(in, n, out);
            case Q5_K -> SuperBlocks.q5k(in, n, out);
            case Q6_K -> SuperBlocks.q6k(in, n, out);
            case IQ4_XS -> SuperBlocks.iq4xs(in, n, out);
            case PACKED -> throw new IllegalArgumentException("a packed weight has no values of its own");
        }
    }
}
