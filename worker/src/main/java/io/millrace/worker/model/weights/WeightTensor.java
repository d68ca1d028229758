package io.millrace.worker.model.weights;

import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A stored tensor, memory-mapped.
 *
 * @param shape row-major, slowest dimension first ([out, in] for a linear layer), whatever the file's own order
 * @param data the encoded bytes, read-only, exactly {@code dtype.bytes(product of shape)}; of a packed weight those of its codes
 * @param file where it is kept, for messages; empty: not known
 * @param packed null: every value stands in {@code data} by itself or in a block
 */
public record WeightTensor(
        String name,
        DType dtype,
        long[] shape,
        MemorySegment data,
        String file,
        @Nullable PackedWeight packed) {

    /** Of no known file. */
    public WeightTensor(String name, DType dtype, long[] shape, MemorySegment data) {
        this(name, dtype, shape, data, "", null);
    }

    /** A weight of several stored tensors. */
    public static WeightTensor packed(
            String name, long[] shape, MemorySegment codes, String file, PackedWeight packed) {
        return new WeightTensor(name, DType.PACKED, shape, codes, file, packed);
    }

    /** Values that stand by themselves, taken from this tensor. */
    public WeightTensor of(DType otherType, long[] otherShape, MemorySegment values) {
        return new WeightTensor(name, otherType, otherShape, values, file, null);
    }

    /**
     * Rows of a matrix as a matrix of their own, {@code count} in runs of {@code run} that begin {@code stride} rows apart; of a packed
     * weight only.
     */
    public WeightTensor packedRows(long first, long run, long stride, long count) {
        PackedWeight whole = Objects.requireNonNull(packed, name);
        return packed(
                name, new long[] {count, shape[1]}, data, file, PackedRows.of(this, whole, first, run, stride, count));
    }

    /** Number of values. */
    public long elements() {
        long n = 1;
        for (long d : shape) {
            n = Math.multiplyExact(n, d);
        }
        return n;
    }

    /** Bytes in the file, all parts of a packed weight included. */
    public long storedBytes() {
        return packed == null ? data.byteSize() : packed.storedBytes();
    }

    /** For messages: "tensor NAME of FILE". */
    public String described() {
        return "tensor " + name + (file.isEmpty() ? "" : " of " + file);
    }
}
