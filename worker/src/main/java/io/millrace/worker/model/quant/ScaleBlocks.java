package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.WeightTensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Over how many rows and columns of a matrix one scale reaches.
 *
 * @param rows of a block
 * @param columns of a block
 */
record ScaleBlocks(int rows, int columns) {

    /** By the shape of the scales: one of all, one of a row, or one of a row's group. MR-QUANT-003 when it is none of these. */
    static ScaleBlocks of(WeightTensor scales, int out, int in, int @Nullable [] block, int groupSize) {
        long[] shape = scales.shape();
        ScaleBlocks blocks;
        if (block != null) {
            blocks = new ScaleBlocks(block[0], block[1]);
        } else if (groupSize > 0) {
            blocks = new ScaleBlocks(1, groupSize);
        } else if (scales.elements() == 1) {
            return new ScaleBlocks(out, in);
        } else {
            blocks = new ScaleBlocks(1, in);
        }
        long down = Math.ceilDiv(out, blocks.rows);
        long across = Math.ceilDiv(in, blocks.columns);
        boolean flat = across == 1 && Arrays.equals(shape, new long[] {down});
        if (!flat && !Arrays.equals(shape, new long[] {down, across})) {
            throw QuantErrors.tensor(
                    scales.described(),
                    "has shape " + Arrays.toString(shape) + " where [" + down + ", " + across + "] is needed");
        }
        return blocks;
    }
}
