package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.model.config.DecoderConfig;
import java.lang.management.ManagementFactory;

/**
 * How much memory the KV cache gets, and how long a sequence may be.
 *
 * @param bytesPerToken of K and V in all layers, float32
 * @param memoryBytes of the whole cache
 * @param maxModelLen most tokens of a sequence
 */
record KvBudget(long bytesPerToken, long memoryBytes, int maxModelLen) {

    static final int BLOCK_TOKENS = 16;
    private static final long DEFAULT_BYTES = 1L << 30;
    private static final int DEFAULT_SHARE = 16;
    private static final int FLOAT_BYTES = 4;

    /** MR-MEM-002 when not one block fits, MR-SERVE-006 when more than the model's context is asked for. */
    static KvBudget of(DecoderConfig config, ModelOptions options) {
        long perToken = (long) config.layers() * config.cache().values() * FLOAT_BYTES;
        long memory = options.kvMemoryBytes() > 0 ? options.kvMemoryBytes() : chosen();
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
            return new KvBudget(perToken, memory, options.maxModelLen());
        }
        long fits = memory / perToken / BLOCK_TOKENS * BLOCK_TOKENS;
        if (fits < BLOCK_TOKENS) {
            throw new MillraceException(
                    "MR-MEM-002",
                    "The KV cache's budget of " + (memory >> 20) + " MiB holds " + fits + " tokens of " + perToken
                            + " bytes. Raise --kv-memory.");
        }
        return new KvBudget(perToken, memory, (int) Math.min(context, fits));
    }

    KvOptions options() {
        return new KvOptions(BLOCK_TOKENS, 0, memoryBytes, maxModelLen);
    }

    private static long chosen() {
        long total = DEFAULT_BYTES * DEFAULT_SHARE;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean os) {
            total = os.getTotalMemorySize();
        }
        return Math.min(DEFAULT_BYTES, total / DEFAULT_SHARE);
    }
}
