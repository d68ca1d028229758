package io.millrace.worker.model.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Refuses stored weights that are no finite numbers, without decoding them: in a block only its scales and offsets can be such, in
 * half precision. What is decoded anyhow is checked by {@link Dequantizer#finiteRows(WeightTensor, long, long, MemorySegment)}.
 */
public final class FiniteCheck {

    private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfInt SINGLE = ValueLayout.JAVA_INT_UNALIGNED;
    private static final int F16_INFINITE = 0x7C00;
    private static final int BF16_INFINITE = 0x7F80;
    private static final int F32_INFINITE = 0x7F80_0000;

    private FiniteCheck() {}

    /**
     * Checks all values of a tensor.
     *
     * @param bytes as {@link WeightTensor#data}, which a copy of it may stand for
     * @throws io.millrace.shared.error.MillraceException MR-WEIGHTS-006 naming tensor, file and place
     */
    public static void check(WeightTensor tensor, MemorySegment bytes) {
        DType dtype = tensor.dtype();
        long wrong = switch (dtype) {
            case F32 -> singles(bytes);
            case F16 -> halves(bytes, 2, 0, F16_INFINITE);
            case BF16 -> halves(bytes, 2, 0, BF16_INFINITE);
            case Q4_0, Q5_0, Q8_0, IQ4_NL, IQ4_XS -> halves(bytes, dtype.blockBytes(), 0, F16_INFINITE);
            case Q4_1, Q5_1, Q4_K, Q5_K -> pair(bytes, dtype.blockBytes(), 0);
            case Q2_K -> pair(bytes, dtype.blockBytes(), 80);
            case Q3_K -> halves(bytes, dtype.blockBytes(), 108, F16_INFINITE);
            case Q6_K -> halves(bytes, dtype.blockBytes(), 208, F16_INFINITE);
            default -> throw new IllegalArgumentException(tensor.described() + " is of type " + dtype);
        };
        if (wrong >= 0) {
            long columns = Dequantizer.columns(tensor);
            // Says where; a block's values are none when its scale is none.
            Dequantizer.finiteRows(tensor, wrong * dtype.blockSize() / columns, 1, new float[(int) columns], 0);
        }
    }

    /** The first value that is none, or -1. */
    private static long singles(MemorySegment bytes) {
        long n = bytes.byteSize() / Float.BYTES;
        for (long i = 0; i < n; i++) {
            if ((bytes.get(SINGLE, i * Float.BYTES) & F32_INFINITE) == F32_INFINITE) {
                return i;
            }
        }
        return -1;
    }

    /** The first block whose half at {@code offset} is none, or -1. */
    private static long halves(MemorySegment bytes, int blockBytes, int offset, int infinite) {
        long n = bytes.byteSize() / blockBytes;
        for (long i = 0; i < n; i++) {
            if ((bytes.get(HALF, i * blockBytes + offset) & infinite) == infinite) {
                return i;
            }
        }
        return -1;
    }

    /** The same of two halves, one after the other. */
    private static long pair(MemorySegment bytes, int blockBytes, int offset) {
        long n = bytes.byteSize() / blockBytes;
        for (long i = 0; i < n; i++) {
            int both = bytes.get(SINGLE, i * blockBytes + offset);
            if ((both & F16_INFINITE) == F16_INFINITE || (both >>> 16 & F16_INFINITE) == F16_INFINITE) {
                return i;
            }
        }
        return -1;
    }
}
