package io.millrace.worker.backend;

/**
 * How large a KV cache to make.
 *
 * @param blockTokens tokens of a block, a power of two up to 128
 * @param blocks size of the pool; 0: as many as {@code memoryBytes} allows
 * @param memoryBytes budget of the cache; counts only when {@code blocks} is 0
 * @param maxModelLen longest sequence; 0: the model's context
 * @param type in which keys and values are kept
 */
public record KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen, KvType type) {

    /** A cache in float32. */
    public KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen) {
        this(blockTokens, blocks, memoryBytes, maxModelLen, KvType.F32);
    }

    public KvOptions withType(KvType value) {
        return new KvOptions(blockTokens, blocks, memoryBytes, maxModelLen, value);
    }
}
