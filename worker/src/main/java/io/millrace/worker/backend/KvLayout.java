package io.millrace.worker.backend;

import java.util.List;

/**
 * The paged KV cache of a loaded model.
 *
 * @param blockTokens tokens of a block
 * @param groups one entry per group of layers that share block tables
 * @param hostBlocks of each group's pool on the host, where blocks may be swapped to; 0: there is none
 */
public record KvLayout(int blockTokens, List<Group> groups, int hostBlocks) {

    /** Without pools on the host. */
    public KvLayout(int blockTokens, List<Group> groups) {
        this(blockTokens, groups, 0);
    }

    /**
     * Layers of one kind.
     *
     * @param blocks size of the pool
     * @param layers number of layers in the group
     * @param heads KV heads
     * @param keyDim K values per head
     * @param valueDim V values per head
     * @param window sliding window in tokens (a token sees itself and the window - 1 before it); 0: all
     * @param dtype of the cached values, as in "f32", "bf16"
     */
    public record Group(int blocks, int layers, int heads, int keyDim, int valueDim, int window, String dtype) {}
}
