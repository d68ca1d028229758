package io.millrace.worker.model.weights;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Types that store each value by itself, to float32; integers and float64 are rounded to nearest. */
final class PlainDecoder {

    private static final VarHandle SHORT = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private PlainDecoder() {}

    static void decode(DType dtype, byte[] in, int n, float[] out) {
        switch (dtype) {
            case F32 -> f32(in, n, out);
            case F16 -> f16(in, n, out);
            case BF16 -> bf16(in, n, out);
            default -> {
                for (int i = 0; i < n; i++) {
                    out[i] = value(dtype, in, i);
                }
            }
        }
    }

    /** An IEEE half at a byte position. */
    static float half(byte[] in, int at) {
        return Float.float16ToFloat((short) SHORT.get(in, at));
    }

    /** A little-endian 32-bit word at a byte position. */
    static int word(byte[] in, int at) {
        return (int) INT.get(in, at);
    }

    private static void f32(byte[] in, int n, float[] out) {
        for (int i = 0; i < n; i++) {
            out[i] = Float.intBitsToFloat((int) INT.get(in, 4 * i));
        }
    }

    private static void f16(byte[] in, int n, float[] out) {
        for (int i = 0; i < n; i++) {
            out[i] = Float.float16ToFloat((short) SHORT.get(in, 2 * i));
        }
    }

    private static void bf16(byte[] in, int n, float[] out) {
        for (int i = 0; i < n; i++) {
            out[i] = Float.intBitsToFloat((short) SHORT.get(in, 2 * i) << 16);
        }
    }

    private static float value(DType dtype, byte[] in, int i) {
        return switch (dtype) {
            case I8 -> in[i];
            case U8, BOOL -> Byte.toUnsignedInt(in[i]);
            case I16 -> (short) SHORT.get(in, 2 * i);
            case U16 -> Short.toUnsignedInt((short) SHORT.get(in, 2 * i));
            case I32 -> (int) INT.get(in, 4 * i);
            case U32 -> Integer.toUnsignedLong((int) INT.get(in, 4 * i));
            case I64 -> (long) LONG.get(in, 8 * i);
            case U64 -> unsigned((long) LONG.get(in, 8 * i));
            case F64 -> (float) Double.longBitsToDouble((long) LONG.get(in, 8 * i));
            case F8_E4M3 -> e4m3(in[i]);
            case F8_E5M2 -> Float.float16ToFloat((short) (in[i] << 8));
            default -> throw new IllegalArgumentException(dtype.name());
        };
    }

    private static float unsigned(long bits) {
        // The lowest bit is kept sticky, so that halving does not change the rounding.
        return bits >= 0 ? bits : 2f * ((bits >>> 1) | (bits & 1));
    }

    /** OCP FP8 E4M3 (the "fn" form: no infinity, NaN is all ones). */
    private static float e4m3(byte b) {
        int magnitude = b & 0x7F;
        int exponent = magnitude >> 3;
        int mantissa = magnitude & 7;
        float value;
        if (magnitude == 0x7F) {
            value = Float.NaN;
        } else if (exponent == 0) {
            value = mantissa * 0x1p-9f;
        } else {
            value = Float.intBitsToFloat((exponent + 120) << 23 | mantissa << 20);
        }
        return b < 0 ? -value : value;
    }
}
