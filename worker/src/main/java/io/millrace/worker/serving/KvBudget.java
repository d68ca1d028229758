package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.model.config.DecoderConfig;
import java.lang.management.ManagementFactory;
import java.util.function.LongSupplier;

/**
 * How much memory the KV cache gets, and how long a sequence may be.
 *
 * @param bytesPerToken of K and V in all layers
 * @param memoryBytes of the whole cache
 * @param maxModelLen most tokens of a sequence
 * @param type in which K and V are kept
 * @param hostBytes of the host's memory for blocks that are swapped out
 */
record KvBudget(long bytesPerToken, long memoryBytes, int maxModelLen, KvType type, long hostBytes) {

    static final int BLOCK_TOKENS = 16;
    private static final long DEFAULT_BYTES = 1L << 30;
    private static final int DEFAULT_SHARE = 16;

    /** Tokens that a GPU must have room for, of the models whose context is no shorter. */
    private static final int WORTH_TOKENS = 4096;

    private static final String TOO_SHORT = "The GPU has room for a context of only ";

    /**
     * What the options ask for.
     *
     * @param chosen bytes of a cache for which they do not
     * @throws MillraceException MR-MEM-002 when not one block fits, MR-SERVE-006 when more than the model's context is asked for.
     */
    static KvBudget of(DecoderConfig config, ModelOptions options, LongSupplier chosen) {
        KvType type = options.kvType();
        long perToken = MemoryPlan.tokenBytes(config, type);
        long memory = options.kvMemoryBytes() > 0 ? options.kvMemoryBytes() : chosen.getAsLong();
        long host = Backends.hostBytes(options, memory);
        int context = config.contextLength();
        if (options.maxModelLen() > context && !options.forceMaxModelLen()) {
            throw new MillraceException(
                    "MR-SERVE-006",
                    "max-model-len is " + options.maxModelLen() + ", but " + config.origin() + " is made for at most "
                            + context
                            + " tokens. Lower --max-model-len, or add --force-max-model-len: answers beyond that"
                            + " length may be worthless.");
        }
        if (options.maxModelLen() > 0) {
            return new KvBudget(perToken, memory, options.maxModelLen(), type, host);
        }
        long fits = memory / perToken / BLOCK_TOKENS * BLOCK_TOKENS;
        if (fits < BLOCK_TOKENS) {
            throw new MillraceException(
                    "MR-MEM-002",
                    "The KV cache's budget of " + (memory >> 20) + " MiB holds " + fits + " tokens of " + perToken
                            + " bytes. Raise --kv-memory.");
        }
        return new KvBudget(perToken, memory, (int) Math.min(context, fits), type, host);
    }

    /** MR-MEM-001 where the device has too little room for the context of a model that is served there although nobody asked for that, nor for a size. */
    void checkWorth(DecoderConfig config, ModelOptions options) {
        int least = Math.min(config.contextLength(), WORTH_TOKENS);
        if (options.maxModelLen() > 0 || options.kvMemoryBytes() > 0 || maxModelLen >= least) {
            return;
        }
        throw new MillraceException(
                "MR-MEM-001",
                TOO_SHORT + maxModelLen + " tokens (" + MemoryNeed.mib(memoryBytes) + " MiB, at " + bytesPerToken
                        + " bytes a token, are left beside weights and workspace); " + least
                        + " are wanted of a model made for " + config.contextLength()
                        + ". Free some of its memory (nvidia-smi names who holds it), choose a smaller model, or say with --max-model-len"
                        + " that less is enough.");
    }

    /** Whether {@link #checkWorth} has said that. */
    static boolean isTooShort(MillraceException e) {
        return String.valueOf(e.getMessage()).contains(TOO_SHORT);
    }

    KvOptions options() {
        return new KvOptions(BLOCK_TOKENS, 0, memoryBytes, maxModelLen, type, hostBytes);
    }

    /** A part of the machine's memory. */
    static long ofMachine() {
        long total = DEFAULT_BYTES * DEFAULT_SHARE;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean os) {
            total = os.getTotalMemorySize();
        }
        return Math.min(DEFAULT_BYTES, total / DEFAULT_SHARE);
    }
}
