package io.millrace.worker.backend;

/**
 * How large a KV cache to make.
 *
 * @param blockTokens tokens of a block, a power of two up to 128
 * @param blocks size of the pool; 0: as many as {@code memoryBytes} allows
 * @param memoryBytes budget of the cache; counts only when {@code blocks} is 0
 * @param maxModelLen longest sequence; 0: the model's context
 */
public record KvOptions(int blockTokens, int blocks, long memoryBytes, int maxModelLen) {}
