package io.millrace.worker.model.weights;

import java.lang.foreign.MemorySegment;

/**
 * A stored tensor, memory-mapped.
 *
 * @param shape row-major, slowest dimension first ([out, in] for a linear layer), whatever the file's own order
 * @param data the encoded bytes, read-only, exactly {@code dtype.bytes(product of shape)}
 */
public record WeightTensor(String name, DType dtype, long[] shape, MemorySegment data) {

    /** Number of values. */
    public long elements() {
        long n = 1;
        for (long d : shape) {
            n = Math.multiplyExact(n, d);
        }
        return n;
    }
}
