package io.millrace.worker.backend;

import io.millrace.shared.error.MillraceException;
import java.util.Locale;

/**
 * What loading a model takes, known before it is loaded.
 *
 * @param weightBytes of the weights as the backend keeps them
 * @param kvBytes of the KV cache
 * @param workBytes of what steps compute in, where that is taken up front
 * @param keptBytes that stay free for what is taken later, by a driver and by steps
 * @param swapBytes of the host's pool for KV blocks that are swapped out
 * @param swapApart whether that lies in other memory than the rest: the machine's beside a device's
 * @param availableBytes that can be had now
 * @param deviceBytes that the device has in all; 0 where it is the machine's memory
 */
public record MemoryNeed(
        long weightBytes,
        long kvBytes,
        long workBytes,
        long keptBytes,
        long swapBytes,
        boolean swapApart,
        long availableBytes,
        long deviceBytes) {

    private static final long MIB = 1 << 20;

    /** Of a device's memory, what a driver takes for itself: who has less is not alone on it. */
    private static final int OWN_SHARE = 16;

    /** Of a backend that takes nothing more up front. */
    public MemoryNeed(long weightBytes, long kvBytes, long availableBytes) {
        this(weightBytes, kvBytes, 0, 0, 0, false, availableBytes, 0);
    }

    /** Without the pool for swapped blocks where that lies apart. */
    public long totalBytes() {
        return weightBytes + kvBytes + workBytes + keptBytes + (swapApart ? 0 : swapBytes);
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
                        + (keptBytes == 0 ? "" : ", kept free " + mib(keptBytes))
                        + (swapApart || swapBytes == 0 ? "" : ", swapped blocks " + mib(swapBytes))
                        + "), available are "
                        + mib(availableBytes) + " MiB"
                        + (deviceBytes == 0 ? "" : " of the device's " + mib(deviceBytes) + " MiB")
                        + " (short by " + mib(shortByBytes()) + "). "
                        + (isShared()
                                ? "Other processes, or models of this one, hold the rest (nvidia-smi names them). "
                                : "")
                        + "Lower --kv-memory"
                        + (swapApart || swapBytes == 0 ? "" : ", millrace.worker.kv-host-memory")
                        + " or --max-model-len, or choose a smaller model.");
    }

    private boolean isShared() {
        return deviceBytes - availableBytes > deviceBytes / OWN_SHARE;
    }

    /** Whole mebibytes, rounded up, for people. */
    public static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,d", (bytes + MIB - 1) / MIB);
    }
}
