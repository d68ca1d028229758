package io.millrace.worker.engine;

import io.millrace.worker.engine.PrefixCache.BlockHash;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The blocks of one KV group. A block is referenced by sequences, or idle: unreferenced but still in the prefix cache, oldest
 * first to be taken, or free. Confined to the engine's thread.
 */
final class BlockPool {

    private final int size;
    private final int[] references;
    private final @Nullable BlockHash[] names;
    private final PrefixCache cache = new PrefixCache();
    private final int[] free;
    private int freeCount;
    /** Ring of the idle blocks through entry {@code size}: next is younger. */
    private final int[] next;

    private final int[] previous;
    private int idleCount;
    private long evictions;

    BlockPool(int size) {
        this.size = size;
        references = new int[size];
        names = new BlockHash[size];
        free = new int[size];
        next = new int[size + 1];
        previous = new int[size + 1];
        next[size] = size;
        previous[size] = size;
        for (int i = 0; i < size; i++) {
            free[i] = size - 1 - i;
        }
        freeCount = size;
    }

    int size() {
        return size;
    }

    /** Blocks that {@link #take} can give: free and idle. */
    int available() {
        return freeCount + idleCount;
    }

    long evictions() {
        return evictions;
    }

    boolean isShared(int block) {
        return references[block] > 1;
    }

    boolean isReferenced(int block) {
        return references[block] > 0;
    }

    /** A block of undefined content with one reference; the oldest idle one leaves the prefix cache when none is free. */
    int take() {
        int block;
        if (freeCount > 0) {
            block = free[--freeCount];
        } else if (idleCount > 0) {
            block = next[size];
            unlink(block);
            forget(block);
            evictions++;
        } else {
            throw new IllegalStateException("No block is available: all " + size + " are referenced.");
        }
        references[block] = 1;
        return block;
    }

    /** One more reference to a block that is referenced or idle. */
    void retain(int block) {
        if (references[block]++ == 0) {
            unlink(block);
        }
    }

    /** One reference less; without any, a named block turns idle and another free. */
    void release(int block) {
        if (references[block] <= 0) {
            throw new IllegalStateException("Block " + block + " is released more often than taken.");
        }
        if (--references[block] == 0) {
            if (names[block] == null) {
                free[freeCount++] = block;
            } else {
                link(block);
            }
        }
    }

    /** The block with that name, or -1. Does not change anything. */
    int find(BlockHash name) {
        return cache.find(name);
    }

    /** Names a full, computed block, so that it can be found; another block of that name stays the one that is found. */
    void publish(int block, BlockHash name) {
        if (names[block] == null && cache.add(name, block)) {
            names[block] = name;
        }
    }

    /** Empties the prefix cache; idle blocks become free. */
    void forgetAll() {
        for (int block = 0; block < size; block++) {
            if (names[block] != null) {
                forget(block);
                if (references[block] == 0) {
                    unlink(block);
                    free[freeCount++] = block;
                }
            }
        }
    }

    /** Throws when the books do not agree with each other, or with the references that sequences hold. */
    void checkIntegrity(int[] held) {
        int[] state = new int[size];
        for (int i = 0; i < freeCount; i++) {
            state[free[i]]++;
            require(references[free[i]] == 0 && names[free[i]] == null, "free block " + free[i] + " is unused");
        }
        int idle = 0;
        for (int b = next[size]; b != size; b = next[b]) {
            state[b]++;
            idle++;
            BlockHash name = names[b];
            require(references[b] == 0, "idle block " + b + " is unreferenced");
            require(name != null && cache.find(name) == b, "idle block " + b + " can be found");
        }
        require(idle == idleCount, "idle blocks are counted");
        int named = 0;
        for (int b = 0; b < size; b++) {
            require(references[b] == held[b], "block " + b + " has " + references[b] + " references, held " + held[b]);
            require(state[b] == (references[b] == 0 ? 1 : 0), "block " + b + " is in one place");
            named += names[b] == null ? 0 : 1;
        }
        require(named == cache.size(), "named blocks are those of the prefix cache");
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException("Block pool broken: expected that " + what + ".");
        }
    }

    private void forget(int block) {
        BlockHash name = names[block];
        if (name != null) {
            cache.remove(name);
            names[block] = null;
        }
    }

    private void link(int block) {
        int youngest = previous[size];
        next[youngest] = block;
        previous[block] = youngest;
        next[block] = size;
        previous[size] = block;
        idleCount++;
    }

    private void unlink(int block) {
        next[previous[block]] = next[block];
        previous[next[block]] = previous[block];
        idleCount--;
    }

    @Override
    public String toString() {
        return "BlockPool[" + size + " blocks, " + freeCount + " free, " + idleCount + " idle, references "
                + Arrays.stream(references).sum() + "]";
    }
}
