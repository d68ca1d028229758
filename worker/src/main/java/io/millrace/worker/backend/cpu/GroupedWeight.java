package io.millrace.worker.backend.cpu;

import io.millrace.worker.model.quant.Codebook;
import io.millrace.worker.model.quant.Grouped;
import io.millrace.worker.model.quant.Scaled;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.PackedCorner;
import io.millrace.worker.model.weights.PackedRows;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A weight of a quantised checkpoint, or of floats of 8 bits, as the kernels keep it: codes with a scale and a zero for each group of columns. Thread-safe.
 *
 * @param groupColumns columns of a group, a multiple of 32 that divides all
 * @param order column of the weight at each place, where groups are no runs of columns; null: as they are
 * @param levels the 16 values that codes of a codebook name; null: codes are integers
 */
record GroupedWeight(
        Type type, int columns, int groupColumns, int @Nullable [] order, float @Nullable [] levels, Reader reader) {

    /** Numbers in {@code millrace.h}: 15 and the ordinal. */
    enum Type {
        INT8(1, 5),
        INT4(0.5, 5),
        CODEBOOK(0.5, 4),
        /** Floats of 8 bits, without zeros; of a CUDA device. */
        FP8(1, 4);

        private static final int FIRST = 15;
        private final double codeBytes;
        private final int factorBytes;

        Type(double codeBytes, int factorBytes) {
            this.codeBytes = codeBytes;
            this.factorBytes = factorBytes;
        }

        int number() {
            return FIRST + ordinal();
        }
    }

    /** Reads rows: codes [count, columns], scales and zeros [count, groups], from the beginning of each array. */
    @FunctionalInterface
    interface Reader {
        void rows(long first, int count, byte[] codes, float[] scales, byte[] zeros);
    }

    private static final int STEP = 32;
    private static final int MIDDLE = 128;
    private static final int LARGEST_ZERO = 255;

    int groups() {
        return columns / groupColumns;
    }

    /** Bytes of that many rows in the kernels. */
    long bytes(long rows) {
        return (long) (rows * columns * type.codeBytes) + rows * groups() * type.factorBytes;
    }

    /**
     * Of a packed weight, or of plain floats of 8 bits; empty where the kernels of that device have no such form: it is to be widened, or is bound as it
     * is stored.
     */
    static Optional<GroupedWeight> of(WeightTensor tensor, NativeDevice device) {
        PackedWeight packed = tensor.packed();
        if (packed != null) {
            return of(packed, device);
        }
        return tensor.dtype() == DType.F8_E4M3 && device == NativeDevice.CUDA ? ofPlain(tensor) : Optional.empty();
    }

    /** Matrices whose values have no scale: theirs is 1. */
    private static Optional<GroupedWeight> ofPlain(WeightTensor tensor) {
        int columns = Math.toIntExact(Dequantizer.columns(tensor));
        if (tensor.shape().length < 2 || columns == 0 || !fits(columns, columns)) {
            return Optional.empty();
        }
        Reader reader = (first, count, codes, scales, zeros) -> {
            copy(tensor, first * columns, codes, count * columns);
            Arrays.fill(scales, 0, count, 1);
        };
        return Optional.of(new GroupedWeight(Type.FP8, columns, columns, null, null, reader));
    }

    private static void copy(WeightTensor values, long from, byte[] to, int count) {
        try {
            MemorySegment.copy(values.data(), ValueLayout.JAVA_BYTE, from, to, 0, count);
        } catch (InternalError e) {
            throw MappedFile.fault(values.described(), e);
        }
    }

    private static Optional<GroupedWeight> of(PackedWeight packed, NativeDevice device) {
        return switch (packed) {
            case Grouped grouped -> ofGrouped(grouped);
            case Scaled scaled
            when scaled.stored().values().dtype() == DType.F8_E4M3 ->
                device == NativeDevice.CUDA ? ofFloats(scaled) : Optional.empty();
            case Scaled scaled -> ofScaled(scaled);
            case Codebook codebook -> ofCodebook(codebook);
            case PackedRows rows -> of(rows.whole(), device).map(whole -> whole.withReader(some(rows, whole)));
            case PackedCorner corner -> of(corner.whole(), device).map(whole -> whole.corner(corner.columns()));
            default -> Optional.empty();
        };
    }

    private GroupedWeight withReader(Reader other) {
        return new GroupedWeight(type, columns, groupColumns, order, levels, other);
    }

    /** Of its first columns, in places that are theirs in the order of the whole; one group where its groups do not divide them. */
    private GroupedWeight corner(int count) {
        int size = count % groupColumns == 0 ? groupColumns : count;
        int kept = count / size;
        int[] ranks = order == null ? null : ranks(Arrays.copyOf(order, count));
        Reader part = (first, rows, codes, scales, zeros) -> {
            byte[] code = new byte[columns];
            float[] scale = new float[groups()];
            byte[] zero = new byte[groups()];
            for (int row = 0; row < rows; row++) {
                reader.rows(first + row, 1, code, scale, zero);
                System.arraycopy(code, 0, codes, row * count, count);
                System.arraycopy(scale, 0, scales, row * kept, kept);
                System.arraycopy(zero, 0, zeros, row * kept, kept);
            }
        };
        return new GroupedWeight(type, count, size, ranks, levels, part);
    }

    /** Each by how many are less. */
    private static int[] ranks(int[] values) {
        int[] sorted = values.clone();
        Arrays.sort(sorted);
        return Arrays.stream(values).map(v -> Arrays.binarySearch(sorted, v)).toArray();
    }

    private static boolean fits(int columns, int groupColumns) {
        return groupColumns % STEP == 0 && columns % groupColumns == 0;
    }

    private static Reader some(PackedRows rows, GroupedWeight whole) {
        int columns = whole.columns();
        int groups = whole.groups();
        return (first, count, codes, scales, zeros) -> {
            for (int i = 0; i < count; i++) {
                long row = first + i;
                byte[] code = new byte[columns];
                float[] scale = new float[groups];
                byte[] zero = new byte[groups];
                long stored = rows.first() + row / rows.run() * rows.stride() + row % rows.run();
                whole.reader().rows(stored, 1, code, scale, zero);
                System.arraycopy(code, 0, codes, i * columns, columns);
                System.arraycopy(scale, 0, scales, i * groups, groups);
                System.arraycopy(zero, 0, zeros, i * groups, groups);
            }
        };
    }

    private static Optional<GroupedWeight> ofGrouped(Grouped weight) {
        Grouped.Stored stored = weight.stored();
        int columns = stored.in();
        int size = Math.min(stored.groupSize(), columns);
        if (!fits(columns, size) || stored.groups() != columns / size || zeroTooLarge(weight)) {
            return Optional.empty();
        }
        int[] order = null;
        if (!weight.isInOrder()) {
            int[] group = weight.groupOf();
            order = IntStream.range(0, columns)
                    .boxed()
                    .sorted(Comparator.comparingInt(column -> group[column]))
                    .mapToInt(Integer::intValue)
                    .toArray();
            for (int place = 0; place < columns; place++) {
                if (group[order[place]] != place / size) {
                    return Optional.empty();
                }
            }
        }
        int[] ordered = order;
        Reader reader = (first, count, codes, scales, zeros) -> {
            weight.codes(first, count, codes);
            if (ordered != null) {
                reorder(codes, count, ordered);
            }
            weight.scales(first, count, scales);
            int[] wide = new int[count * stored.groups()];
            weight.zeros(first, count, wide);
            for (int i = 0; i < wide.length; i++) {
                zeros[i] = (byte) wide[i];
            }
        };
        Type type = stored.bits() == 8 ? Type.INT8 : Type.INT4;
        return Optional.of(new GroupedWeight(type, columns, size, order, null, reader));
    }

    private static void reorder(byte[] codes, int count, int[] order) {
        byte[] row = new byte[order.length];
        for (int r = 0; r < count; r++) {
            System.arraycopy(codes, r * row.length, row, 0, row.length);
            for (int place = 0; place < row.length; place++) {
                codes[r * row.length + place] = row[order[place]];
            }
        }
    }

    /** Eight bits and the 1 that GPTQ adds do not fit a byte. */
    private static boolean zeroTooLarge(Grouped weight) {
        Grouped.Stored stored = weight.stored();
        if (stored.bits() < 8 || stored.zeros() == null) {
            return false;
        }
        int[] zeros = new int[stored.out() * stored.groups()];
        weight.zeros(0, stored.out(), zeros);
        return Arrays.stream(zeros).anyMatch(zero -> zero < 0 || zero > LARGEST_ZERO);
    }

    private static Optional<GroupedWeight> ofScaled(Scaled weight) {
        Scaled.Stored stored = weight.stored();
        int columns = Math.toIntExact(stored.values().shape()[1]);
        int size = Math.min(stored.blockColumns(), columns);
        if (stored.values().dtype() != DType.I8 || !fits(columns, size)) {
            return Optional.empty();
        }
        WeightTensor stepZeros = stored.zeros();
        int groups = columns / size;
        Reader reader = (first, count, codes, scales, zeros) -> {
            float[] values = new float[count * columns];
            Dequantizer.values(stored.values(), first * columns, values.length, values, 0);
            for (int i = 0; i < values.length; i++) {
                codes[i] = (byte) ((int) values[i] + MIDDLE);
            }
            float[] zero = new float[groups];
            for (int r = 0; r < count; r++) {
                System.arraycopy(weight.scales(first + r), 0, scales, r * groups, groups);
                if (stepZeros != null) {
                    Dequantizer.values(stepZeros, (first + r) / stored.blockRows() * groups, groups, zero, 0);
                }
                for (int g = 0; g < groups; g++) {
                    zeros[r * groups + g] = (byte) ((int) zero[g] + MIDDLE);
                }
            }
        };
        return Optional.of(new GroupedWeight(Type.INT8, columns, size, null, null, reader));
    }

    /** Blocks that do not divide the columns become smaller ones that do. */
    private static Optional<GroupedWeight> ofFloats(Scaled weight) {
        Scaled.Stored stored = weight.stored();
        int columns = Math.toIntExact(stored.values().shape()[1]);
        int size = BigInteger.valueOf(columns)
                .gcd(BigInteger.valueOf(stored.blockColumns()))
                .intValueExact();
        if (stored.zeros() != null || !fits(columns, size)) {
            return Optional.empty();
        }
        int groups = columns / size;
        Reader reader = (first, count, codes, scales, zeros) -> {
            copy(stored.values(), first * columns, codes, count * columns);
            for (int r = 0; r < count; r++) {
                float[] blocks = weight.scales(first + r);
                for (int g = 0; g < groups; g++) {
                    scales[r * groups + g] = blocks[(int) ((long) g * size / stored.blockColumns())];
                }
            }
        };
        return Optional.of(new GroupedWeight(Type.FP8, columns, size, null, null, reader));
    }

    private static Optional<GroupedWeight> ofCodebook(Codebook weight) {
        Codebook.Stored stored = weight.stored();
        int columns = stored.in();
        int size = stored.blockSize();
        float[] levels = Dequantizer.all(stored.levels());
        for (float level : levels) {
            if (!(Math.abs(level) <= 1)) {
                return Optional.empty();
            }
        }
        if (!fits(columns, size)) {
            return Optional.empty();
        }
        int groups = columns / size;
        Reader reader = (first, count, codes, scales, zeros) -> {
            weight.codes(first, count, codes);
            float[] magnitudes = weight.magnitudes(first * groups, count * groups);
            System.arraycopy(magnitudes, 0, scales, 0, magnitudes.length);
        };
        return Optional.of(new GroupedWeight(Type.CODEBOOK, columns, size, null, levels, reader));
    }
}
