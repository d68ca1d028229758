package io.millrace.worker.model.weights;

/**
 * Some rows of a packed weight, as one of several that a checkpoint keeps fused: runs of {@code run} rows that begin {@code stride} rows
 * apart. Thread-safe.
 *
 * @param whole of all rows
 * @param first row of the first run
 * @param columns of a row
 * @param bytes of these rows, their share of the stored parts
 */
public record PackedRows(PackedWeight whole, long first, long run, long stride, int columns, long bytes)
        implements PackedWeight {

    static PackedRows of(WeightTensor tensor, PackedWeight whole, long first, long run, long stride, long count) {
        long rows = Math.max(1, tensor.shape()[0]);
        int columns = Math.toIntExact(Dequantizer.columns(tensor));
        return new PackedRows(whole, first, run, stride, columns, whole.storedBytes() * count / rows);
    }

    @Override
    public void rows(long from, int count, float[] out, int offset) {
        for (int done = 0; done < count; ) {
            long row = from + done;
            int n = (int) Math.min(count - done, run - row % run);
            whole.rows(first + row / run * stride + row % run, n, out, offset + done * columns);
            done += n;
        }
    }

    @Override
    public long storedBytes() {
        return bytes;
    }

    @Override
    public String format() {
        return whole.format();
    }
}
