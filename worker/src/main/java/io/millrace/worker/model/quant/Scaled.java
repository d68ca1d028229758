package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightTensor;
import org.jspecify.annotations.Nullable;

/**
 * Values of 8 bits, float or integer, that share scales by blocks: w = (value - zero) · scale. A block may be the whole matrix, a
 * row, a group of a row's columns, or a rectangle. Thread-safe.
 */
public final class Scaled implements PackedWeight {

    /**
     * The parts.
     *
     * @param values [out, in], a byte each
     * @param scales one per block, row-major
     * @param zeros alike; null: 0
     * @param blockRows rows of a block
     * @param blockColumns columns of a block
     * @param divisor of the stored scales
     */
    public record Stored(
            WeightTensor values,
            WeightTensor scales,
            @Nullable WeightTensor zeros,
            int blockRows,
            int blockColumns,
            float divisor) {

        int in() {
            return (int) values.shape()[1];
        }

        /** Blocks side by side. */
        public int blocksAcross() {
            return Math.ceilDiv(in(), blockColumns);
        }
    }

    private final Stored stored;
    private final String format;

    Scaled(Stored stored, String format) {
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
        WeightTensor zeros = stored.zeros();
        return stored.values().data().byteSize()
                + stored.scales().data().byteSize()
                + (zeros == null ? 0 : zeros.data().byteSize());
    }

    /** Scales of the blocks that a row crosses, from left to right. */
    public float[] scales(long row) {
        float[] scales = ofRow(stored.scales(), row);
        if (stored.divisor() != 1) {
            for (int i = 0; i < scales.length; i++) {
                scales[i] /= stored.divisor();
            }
        }
        return scales;
    }

    private float[] ofRow(WeightTensor tensor, long row) {
        float[] across = new float[stored.blocksAcross()];
        Dequantizer.values(tensor, row / stored.blockRows() * across.length, across.length, across, 0);
        return across;
    }

    @Override
    public void rows(long first, int count, float[] out, int offset) {
        int in = stored.in();
        int block = stored.blockColumns();
        Dequantizer.values(stored.values(), first * in, count * in, out, offset);
        for (int row = 0; row < count; row++) {
            float[] scales = scales(first + row);
            WeightTensor zeroTensor = stored.zeros();
            float[] zeros = zeroTensor == null ? new float[scales.length] : ofRow(zeroTensor, first + row);
            for (int b = 0; b < scales.length; b++) {
                int from = offset + row * in + b * block;
                int to = Math.min(from + block, offset + (row + 1) * in);
                for (int i = from; i < to; i++) {
                    out[i] = (out[i] - zeros[b]) * scales[b];
                }
            }
        }
    }
}
