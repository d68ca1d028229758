package io.millrace.worker.model.weights;

/**
 * The first rows and columns of a packed weight, as a small one of the same kind. Thread-safe.
 *
 * @param whole of all rows and columns
 * @param columns that are left of a row
 * @param wholeColumns of a row of the whole
 */
public record PackedCorner(PackedWeight whole, int columns, int wholeColumns) implements PackedWeight {

    @Override
    public void rows(long first, int count, float[] out, int offset) {
        float[] row = new float[wholeColumns];
        for (int i = 0; i < count; i++) {
            whole.rows(first + i, 1, row, 0);
            System.arraycopy(row, 0, out, offset + i * columns, columns);
        }
    }

    @Override
    public long storedBytes() {
        return whole.storedBytes();
    }

    @Override
    public String format() {
        return whole.format();
    }
}
