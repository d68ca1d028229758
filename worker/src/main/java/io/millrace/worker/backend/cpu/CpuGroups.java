package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.stream.IntStream;

/** Hands a weight in groups of columns to the kernels: its codes, a byte each, and its factors. No value becomes a float. */
final class CpuGroups {

    /** Rows that a thread reads at a time; words of AWQ hold eight. */
    private static final int ROWS = 32;

    private static final int F32_INFINITE = 0x7F80_0000;
    private static final int E4M3_NAN = 0x7F;

    private CpuGroups() {}

    /** MR-WEIGHTS-006 when a scale or a float of 8 bits is no number, and what reading the parts may throw. */
    static void bind(NativeKernels kernels, long model, int handle, WeightTensor tensor, GroupedWeight weight) {
        int rows = Math.toIntExact(Dequantizer.rows(tensor));
        int columns = weight.columns();
        int groups = weight.groups();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment codes = arena.allocate((long) rows * columns, 64);
            MemorySegment scales = arena.allocate(JAVA_FLOAT, (long) rows * groups);
            MemorySegment zeros = arena.allocate((long) rows * groups);
            boolean floats = weight.type() == GroupedWeight.Type.FP8;
            IntStream.range(0, Math.ceilDiv(rows, ROWS)).parallel().forEach(part -> {
                int first = part * ROWS;
                int count = Math.min(ROWS, rows - first);
                byte[] code = new byte[count * columns];
                float[] scale = new float[count * groups];
                byte[] zero = new byte[count * groups];
                weight.reader().rows(first, count, code, scale, zero);
                if (!finite(scale) || floats && !numbers(code)) {
                    // Says where.
                    Dequantizer.finiteRows(tensor, first, count, new float[count * columns], 0);
                }
                MemorySegment.copy(code, 0, codes, JAVA_BYTE, (long) first * columns, code.length);
                MemorySegment.copy(scale, 0, scales, JAVA_FLOAT, 4L * first * groups, scale.length);
                MemorySegment.copy(zero, 0, zeros, JAVA_BYTE, (long) first * groups, zero.length);
            });
            MemorySegment struct = arena.allocate(Structs.GROUPS);
            struct.set(JAVA_INT, at("type"), weight.type().number());
            struct.set(JAVA_INT, at("group_columns"), weight.groupColumns());
            struct.set(JAVA_LONG, at("codes"), codes.address());
            struct.set(JAVA_LONG, at("scales"), scales.address());
            struct.set(JAVA_LONG, at("zeros"), weight.levels() == null && !floats ? zeros.address() : 0);
            int[] order = weight.order();
            struct.set(
                    JAVA_LONG,
                    at("order"),
                    order == null ? 0 : arena.allocateFrom(JAVA_INT, order).address());
            float[] levels = weight.levels();
            struct.set(
                    JAVA_LONG,
                    at("levels"),
                    levels == null ? 0 : arena.allocateFrom(JAVA_FLOAT, levels).address());
            kernels.bindGroups(model, handle, rows, columns, struct);
        }
    }

    private static long at(String field) {
        return Structs.at(Structs.GROUPS, field);
    }

    private static boolean finite(float[] scales) {
        for (float scale : scales) {
            if ((Float.floatToRawIntBits(scale) & F32_INFINITE) == F32_INFINITE) {
                return false;
            }
        }
        return true;
    }

    private static boolean numbers(byte[] codes) {
        for (byte code : codes) {
            if ((code & E4M3_NAN) == E4M3_NAN) {
                return false;
            }
        }
        return true;
    }
}
