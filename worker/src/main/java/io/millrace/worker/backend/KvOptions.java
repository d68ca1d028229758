package io.millrace.worker.backend;

/**
 * How large a KV cache to make.
 *
 * @param blockTokens tokens of a block, a power of two up to 128
 * @param blocks size of the pool; 0: as many as {@code memoryBytes} allows
 * @param memoryBytes budget of the cache; counts only when {@code blocks} is 0
 * @param maxModelLen longest sequence; 0: the model's context
 * @param type in which keys and values are kept
 * @param hostBytes of the host's memory for blocks that are swapped out; 0: none are
 */
public record KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen, KvType type, long hostBytes) {

    /** Nothing is swapped out. */
    public KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen, KvType type) {
        this(blockTokens, blocks, memoryBytes, maxModelLen, type, 0);
    }

    /** A cache in float32. */
    public KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen) {
        this(blockTokens, blocks, memoryBytes, maxModelLen, KvType.F32);
    }

    public KvOptions withType(KvType value) {
        return new KvOptions(blockTokens, blocks, memoryBytes, maxModelLen, value, hostBytes);
    }

    public KvOptions withHostBytes(long value) {
        return new KvOptions(blockTokens, blocks, memoryBytes, maxModelLen, type, value);
    }
}
