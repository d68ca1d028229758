package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Nibbles that name one of 16 levels, times the largest magnitude of their block: NF4 and FP4 of QLoRA (Dettmers et al., 2023). Blocks
 * run over the whole matrix, row after row; of a byte the high nibble comes first. Thread-safe.
 */
public final class Codebook implements PackedWeight {

    /** Magnitudes that are quantised themselves: level · scale of their own block + offset. */
    public record Nested(WeightTensor levels, WeightTensor scales, int blockSize, float offset) {}

    /**
     * The parts.
     *
     * @param codes two values a byte, whatever its dtype says
     * @param levels 16 values
     * @param magnitudes one per block; bytes when they are quantised
     * @param nested null: magnitudes are floats
     */
    public record Stored(
            int in,
            int blockSize,
            WeightTensor codes,
            WeightTensor levels,
            WeightTensor magnitudes,
            @Nullable Nested nested) {}

    private final Stored stored;
    private final String format;

    Codebook(Stored stored, String format) {
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
        Nested nested = stored.nested();
        return Stream.of(
                        stored.codes(),
                        stored.levels(),
                        stored.magnitudes(),
                        nested == null ? null : nested.levels(),
                        nested == null ? null : nested.scales())
                .filter(part -> part != null)
                .mapToLong(part -> part.data().byteSize())
                .sum();
    }

    /** Magnitudes of blocks {@code first} to {@code first + count - 1}. */
    public float[] magnitudes(long first, int count) {
        float[] values = new float[count];
        Dequantizer.values(stored.magnitudes(), first, count, values, 0);
        Nested nested = stored.nested();
        if (nested == null) {
            return values;
        }
        float[] levels = new float[256];
        Dequantizer.values(nested.levels(), 0, levels.length, levels, 0);
        long from = first / nested.blockSize();
        float[] scales = new float[(int) ((first + count - 1) / nested.blockSize() - from + 1)];
        Dequantizer.values(nested.scales(), from, scales.length, scales, 0);
        for (int i = 0; i < count; i++) {
            float scale = scales[(int) ((first + i) / nested.blockSize() - from)];
            values[i] = levels[(int) values[i]] * scale + nested.offset();
        }
        return values;
    }

    /** Codes of rows {@code first} to {@code first + count - 1}, a byte each, [count, in]. */
    public void codes(long first, int count, byte[] out) {
        long from = first * stored.in();
        int n = count * stored.in();
        byte[] bytes = bytes(from, n);
        int odd = (int) (from & 1);
        for (int i = 0; i < n; i++) {
            out[i] = (byte) code(bytes, i + odd);
        }
    }

    private static int code(byte[] bytes, int at) {
        int b = bytes[at >> 1];
        return (at & 1) == 0 ? b >> 4 & 15 : b & 15;
    }

    private byte[] bytes(long from, int n) {
        byte[] bytes = new byte[(int) ((from + n + 1) / 2 - from / 2)];
        try {
            MemorySegment.copy(stored.codes().data(), ValueLayout.JAVA_BYTE, from / 2, bytes, 0, bytes.length);
        } catch (InternalError e) {
            throw MappedFile.fault(stored.codes().described(), e);
        }
        return bytes;
    }

    @Override
    public void rows(long first, int count, float[] out, int offset) {
        long from = first * stored.in();
        int n = count * stored.in();
        byte[] bytes = bytes(from, n);
        float[] levels = new float[16];
        Dequantizer.values(stored.levels(), 0, levels.length, levels, 0);
        long block = from / stored.blockSize();
        float[] magnitudes = magnitudes(block, (int) ((from + n - 1) / stored.blockSize() - block + 1));
        int odd = (int) (from & 1);
        int left = (int) ((block + 1) * stored.blockSize() - from);
        int at = 0;
        for (int i = 0; i < n; i++) {
            if (left == 0) {
                left = stored.blockSize();
                at++;
            }
            left--;
            out[offset + i] = levels[code(bytes, i + odd)] * magnitudes[at];
        }
    }
}
