package io.millrace.worker.model.decoder;

import java.util.List;

/**
 * A named weight of the model and where a checkpoint keeps it.
 *
 * @param name as the step program names it
 * @param tensor name in the checkpoint
 * @param shape [out, in] of a matrix, [n] of a vector
 */
public record WeightSlot(String name, String tensor, List<Integer> shape) {

    /** Number of values. */
    public long elements() {
        long n = 1;
        for (int size : shape) {
            n *= size;
        }
        return n;
    }
}
