package io.millrace.worker.model.decoder;

import java.util.List;

/**
 * A named weight of the model and where a checkpoint keeps it.
 *
 * @param name as the step program names it
 * @param tensor name in the checkpoint
 * @param shape [out, in] of a matrix, [n] of a vector
 * @param rows which rows of the tensor it is
 */
public record WeightSlot(String name, String tensor, List<Integer> shape, Rows rows) {

    /** A whole tensor. */
    public WeightSlot(String name, String tensor, List<Integer> shape) {
        this(name, tensor, shape, Rows.all(shape));
    }

    /**
     * Some rows of a stored tensor, whose leading dimensions are taken together: runs of {@code run} rows that begin {@code stride}
     * rows apart. A vector's rows are its values.
     *
     * @param stored the shape that the tensor must have
     * @param first row of the first run
     * @param turned the tensor holds each run [in, run] instead of [run, in]
     */
    public record Rows(List<Integer> stored, int first, int run, int stride, boolean turned) {

        static Rows all(List<Integer> shape) {
            int rows = shape.getFirst();
            return new Rows(shape, 0, rows, rows, false);
        }

        /** A stored vector as the only row. */
        static Rows flat(int n) {
            return new Rows(List.of(n), 0, 1, 1, false);
        }

        /** Consecutive rows. */
        public static Rows from(List<Integer> stored, int first, int count) {
            return new Rows(stored, first, count, count, false);
        }
    }

    /** Number of values. */
    public long elements() {
        long n = 1;
        for (int size : shape) {
            n *= size;
        }
        return n;
    }
}
