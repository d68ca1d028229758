package io.millrace.worker.model.weights;

/**
 * A weight [out, in] that a quantised checkpoint keeps in several tensors: packed codes, scales and what else its format has.
 * Implementations offer the parts too, so that a backend may repack them without widening. Thread-safe.
 */
public interface PackedWeight {

    /**
     * Rows {@code first} to {@code first + count - 1} in float32, packed, into {@code out} from {@code offset} on. The range is the
     * caller's to check; coded errors where the stored parts contradict each other.
     */
    void rows(long first, int count, float[] out, int offset);

    /** Bytes of all stored parts. */
    long storedBytes();

    /** For people, as in "AWQ 4 bit, groups of 128". */
    String format();
}
