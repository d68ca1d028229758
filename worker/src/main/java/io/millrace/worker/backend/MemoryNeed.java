package io.millrace.worker.backend;

import io.millrace.shared.error.MillraceException;
import java.util.Locale;

/**
 * What loading a model takes, known before it is loaded.
 *
 * @param weightBytes of the weights as the backend keeps them
 * @param kvBytes of the KV cache
 * @param workBytes of what steps compute in, where that is taken up front
 * @param swapBytes of the host's pool for KV blocks that are swapped out
 * @param swapApart whether that lies in other memory than the rest: the machine's beside a device's
 * @param availableBytes that can be had now
 */
public record MemoryNeed(
        long weightBytes, long kvBytes, long workBytes, long swapBytes, boolean swapApart, long availableBytes) {

    private static final long MIB = 1 << 20;

    /** Of a backend that takes nothing more up front. */
    public MemoryNeed(long weightBytes, long kvBytes, long availableBytes) {
        this(weightBytes, kvBytes, 0, 0, false, availableBytes);
    }

    /** Without the pool for swapped blocks where that lies apart. */
    public long totalBytes() {
        return weightBytes + kvBytes + workBytes + (swapApart ? 0 : swapBytes);
    }

    /** 0 when it fits. */
    public long shortByBytes() {
        return Math.max(0, totalBytes() - availableBytes);
    }

    /**
     * MR-MEM-001 with the numbers, to be thrown when it does not fit.
     *
     * @param what that needs it, at the beginning of a sentence
     * @param weights how they are kept, as in "weights in float32"
     */
    public MillraceException tooMuch(String what, String weights) {
        return new MillraceException(
                "MR-MEM-001",
                what + " needs " + mib(totalBytes()) + " MiB (" + weights + " " + mib(weightBytes) + ", KV cache "
                        + mib(kvBytes) + (workBytes == 0 ? "" : ", workspace " + mib(workBytes))
                        + (swapApart || swapBytes == 0 ? "" : ", swapped blocks " + mib(swapBytes))
                        + "), available are "
                        + mib(availableBytes) + " MiB (short by "
                        + mib(shortByBytes())
                        + "). Lower --kv-memory"
                        + (swapApart || swapBytes == 0 ? "" : ", millrace.worker.kv-host-memory")
                        + " or --max-model-len, or choose a smaller model.");
    }

    /** Whole mebibytes, rounded up, for people. */
    public static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,d", (bytes + MIB - 1) / MIB);
    }
}
