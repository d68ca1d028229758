package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Integers in groups along the input, w = (code - zero) · scale, with a scale and a zero per output row and group: AWQ (Lin et al.,
 * 2023), GPTQ (Frantar et al., 2022) and packed compressed-tensors, which differ in how codes are packed into words. Codes, zeros
 * and scales come out row by row whatever the layout. Thread-safe.
 */
public final class Grouped implements PackedWeight {

    /** How codes lie in 32-bit words. */
    public enum Layout {
        /** [in, out/8]: eight rows of a column share a word, interleaved; scales [groups, out]. */
        AWQ,
        /** [in·bits/32, out]: columns of a row share a word, lowest bits first; scales [groups, out]. */
        GPTQ,
        /** [out, in·bits/32]: columns of a row share a word, lowest bits first; scales [out, groups]. */
        COMPRESSED
    }

    /**
     * The parts.
     *
     * @param groupSize columns of a group
     * @param zeros packed as the layout packs codes over rows, or a byte each (compressed-tensors before packing); null: {@code zeroOffset}
     * @param zeroOffset added to a stored zero
     * @param groupIndex group of each column; null: in order
     */
    public record Stored(
            Layout layout,
            int bits,
            int out,
            int in,
            int groupSize,
            int groups,
            WeightTensor codes,
            WeightTensor scales,
            @Nullable WeightTensor zeros,
            int zeroOffset,
            @Nullable WeightTensor groupIndex) {

        /** Codes of a 32-bit word. */
        public int perWord() {
            return 32 / bits;
        }
    }

    private static final ValueLayout.OfInt WORD = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    /** Where the code of each of eight rows lies in an AWQ word: its nibbles are rows 0, 2, 4, 6, 1, 3, 5, 7. */
    private static final int[] AWQ_SHIFT = {0, 16, 4, 20, 8, 24, 12, 28};

    private final Stored stored;
    private final String format;
    private volatile @Nullable Groups groups;

    private record Groups(int[] of, boolean inOrder) {}

    Grouped(Stored stored, String format) {
        this.stored = stored;
        this.format = format;
    }

    public Stored stored() {
        return stored;
    }

    @Override
    public String format() {
        return format;
    }

    @Override
    public long storedBytes() {
        return Stream.of(stored.codes(), stored.scales(), stored.zeros(), stored.groupIndex())
                .filter(part -> part != null)
                .mapToLong(part -> part.data().byteSize())
                .sum();
    }

    /** Group of each column; the array itself, not to be changed. MR-QUANT-003 when one is no group. */
    public int[] groupOf() {
        return groups().of();
    }

    /** Whether groups are runs of {@code groupSize} columns; otherwise {@link #groupOf} says. MR-QUANT-003 as of it. */
    public boolean isInOrder() {
        return groups().inOrder();
    }

    private Groups groups() {
        Groups known = groups;
        if (known == null) {
            int[] of = readGroups();
            boolean inOrder =
                    IntStream.range(0, of.length).allMatch(column -> of[column] == column / stored.groupSize());
            known = new Groups(of, inOrder);
            groups = known;
        }
        return known;
    }

    private int[] readGroups() {
        int[] group = new int[stored.in()];
        WeightTensor index = stored.groupIndex();
        if (index == null) {
            Arrays.setAll(group, column -> column / stored.groupSize());
            return group;
        }
        words(index, 0, group, group.length);
        for (int column = 0; column < group.length; column++) {
            if (group[column] < 0 || group[column] >= stored.groups()) {
                throw QuantErrors.tensor(
                        index.described(),
                        "gives column " + column + " the group " + group[column] + " where 0 to "
                                + (stored.groups() - 1) + " are possible");
            }
        }
        return group;
    }

    /** Unsigned codes of rows {@code first} to {@code first + count - 1}, a byte each, [count, in]. */
    public void codes(long first, int count, byte[] out) {
        switch (stored.layout()) {
            case AWQ -> codesOfInterleavedRows((int) first, count, out);
            case GPTQ -> codesOfColumns((int) first, count, out);
            case COMPRESSED -> codesOfRows(first, count, out);
        }
    }

    private void codesOfInterleavedRows(int first, int count, byte[] out) {
        int in = stored.in();
        int from = first / 8;
        int n = (first + count - 1) / 8 - from + 1;
        int[] words = new int[n];
        for (int column = 0; column < in; column++) {
            words(stored.codes(), (long) column * (stored.out() / 8) + from, words, n);
            for (int row = 0; row < count; row++) {
                int place = first + row - 8 * from;
                out[row * in + column] = (byte) (words[place >> 3] >>> AWQ_SHIFT[place & 7] & 15);
            }
        }
    }

    private void codesOfColumns(int first, int count, byte[] out) {
        int in = stored.in();
        int bits = stored.bits();
        int per = stored.perWord();
        int mask = (1 << bits) - 1;
        int[] words = new int[count];
        for (int k = 0; k < in / per; k++) {
            words(stored.codes(), (long) k * stored.out() + first, words, count);
            for (int row = 0; row < count; row++) {
                int word = words[row];
                int at = row * in + k * per;
                for (int i = 0; i < per; i++) {
                    out[at + i] = (byte) (word & mask);
                    word >>>= bits;
                }
            }
        }
    }

    private void codesOfRows(long first, int count, byte[] out) {
        int in = stored.in();
        int bits = stored.bits();
        int per = stored.perWord();
        int mask = (1 << bits) - 1;
        int n = (in + per - 1) / per;
        int[] words = new int[n];
        for (int row = 0; row < count; row++) {
            words(stored.codes(), (first + row) * n, words, n);
            for (int k = 0; k < n; k++) {
                int word = words[k];
                int at = row * in + k * per;
                int last = Math.min(per, in - k * per);
                for (int i = 0; i < last; i++) {
                    out[at + i] = (byte) (word & mask);
                    word >>>= bits;
                }
            }
        }
    }

    /** Zeros of rows {@code first} to {@code first + count - 1}, [count, groups]. */
    public void zeros(long first, int count, int[] out) {
        WeightTensor zeros = stored.zeros();
        int groups = stored.groups();
        if (zeros == null) {
            Arrays.fill(out, 0, count * groups, stored.zeroOffset());
        } else if (zeros.dtype().blockBytes() == 1) {
            float[] values = new float[count * groups];
            Dequantizer.values(zeros, first * groups, values.length, values, 0);
            for (int i = 0; i < values.length; i++) {
                out[i] = (int) values[i] + stored.zeroOffset();
            }
        } else {
            packedZeros(zeros, first, count, out);
        }
    }

    private void packedZeros(WeightTensor zeros, long first, int count, int[] out) {
        int groups = stored.groups();
        int bits = stored.bits();
        int per = stored.perWord();
        int mask = (1 << bits) - 1;
        boolean byRow = stored.layout() == Layout.COMPRESSED;
        int[] word = new int[1];
        for (int row = 0; row < count; row++) {
            long place = (first + row) / per;
            int nibble = (int) ((first + row) % per);
            int shift = stored.layout() == Layout.AWQ ? AWQ_SHIFT[nibble] : nibble * bits;
            for (int group = 0; group < groups; group++) {
                words(zeros, byRow ? place * groups + group : (long) group * (stored.out() / per) + place, word, 1);
                out[row * groups + group] = (word[0] >>> shift & mask) + stored.zeroOffset();
            }
        }
    }

    /** Scales of rows {@code first} to {@code first + count - 1}, [count, groups]. */
    public void scales(long first, int count, float[] out) {
        int groups = stored.groups();
        if (stored.layout() == Layout.COMPRESSED) {
            Dequantizer.values(stored.scales(), first * groups, count * groups, out, 0);
            return;
        }
        float[] ofGroup = new float[count];
        for (int group = 0; group < groups; group++) {
            Dequantizer.values(stored.scales(), (long) group * stored.out() + first, count, ofGroup, 0);
            for (int row = 0; row < count; row++) {
                out[row * groups + group] = ofGroup[row];
            }
        }
    }

    @Override
    public void rows(long first, int count, float[] out, int offset) {
        int in = stored.in();
        int groups = stored.groups();
        byte[] codes = new byte[count * in];
        int[] zeros = new int[count * groups];
        float[] scales = new float[count * groups];
        codes(first, count, codes);
        zeros(first, count, zeros);
        scales(first, count, scales);
        if (isInOrder()) {
            byGroups(count, codes, zeros, scales, out, offset);
        } else {
            byColumns(count, codes, zeros, scales, out, offset);
        }
    }

    private void byGroups(int count, byte[] codes, int[] zeros, float[] scales, float[] out, int offset) {
        int in = stored.in();
        int groups = stored.groups();
        for (int row = 0; row < count; row++) {
            for (int group = 0; group < groups; group++) {
                int zero = zeros[row * groups + group];
                float scale = scales[row * groups + group];
                int from = row * in + group * stored.groupSize();
                int to = Math.min(from + stored.groupSize(), (row + 1) * in);
                for (int i = from; i < to; i++) {
                    out[offset + i] = ((codes[i] & 0xFF) - zero) * scale;
                }
            }
        }
    }

    private void byColumns(int count, byte[] codes, int[] zeros, float[] scales, float[] out, int offset) {
        int in = stored.in();
        int[] group = groupOf();
        for (int row = 0; row < count; row++) {
            int at = row * in;
            int side = row * stored.groups();
            for (int column = 0; column < in; column++) {
                int g = side + group[column];
                out[offset + at + column] = ((codes[at + column] & 0xFF) - zeros[g]) * scales[g];
            }
        }
    }

    private static void words(WeightTensor tensor, long from, int[] out, int n) {
        try {
            MemorySegment.copy(tensor.data(), WORD, 4 * from, out, 0, n);
        } catch (InternalError e) {
            throw MappedFile.fault(tensor.described(), e);
        }
    }
}
