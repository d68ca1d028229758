package io.millrace.worker.engine;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.engine.PrefixCache.BlockHash;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * Which sequence owns which blocks, in every KV group. The groups' tables grow and shrink together; a prefix counts as cached as
 * far as all groups have it. Confined to the engine's thread.
 */
final class KvCache {

    /** Whole blocks to copy before a step, of one group. */
    record Copies(List<Integer> from, List<Integer> to) {
        Copies() {
            this(new ArrayList<>(), new ArrayList<>());
        }

        void add(int source, int target) {
            from.add(source);
            to.add(target);
        }
    }

    private final int blockTokens;
    private final BlockPool[] pools;
    private final HostPools host;
    private final boolean prefixCache;
    private final String model;
    private final PrefixCache.Hasher hasher = new PrefixCache.Hasher();

    KvCache(KvLayout layout, String model, boolean prefixCache) {
        this.blockTokens = layout.blockTokens();
        this.model = model;
        this.prefixCache = prefixCache;
        this.pools =
                layout.groups().stream().map(g -> new BlockPool(g.blocks())).toArray(BlockPool[]::new);
        this.host = new HostPools(layout);
    }

    HostPools host() {
        return host;
    }

    int groups() {
        return pools.length;
    }

    int blockTokens() {
        return blockTokens;
    }

    /** Blocks of the smallest pool. */
    int totalBlocks() {
        int least = Integer.MAX_VALUE;
        for (BlockPool pool : pools) {
            least = Math.min(least, pool.size());
        }
        return least;
    }

    /** Free and idle blocks of the pool that has least. */
    int availableBlocks() {
        int least = Integer.MAX_VALUE;
        for (BlockPool pool : pools) {
            least = Math.min(least, pool.available());
        }
        return least;
    }

    int blocksFor(int tokens) {
        return (tokens + blockTokens - 1) / blockTokens;
    }

    /** Whether {@link #allocate} would succeed and leave {@code spare} blocks. Does not modify the pools. */
    boolean canAllocate(Sequence s, int spare) {
        int matched = match(s);
        int fresh = blocksFor(s.length()) - matched;
        for (BlockPool pool : pools) {
            int revived = 0;
            for (int i = 0; i < matched; i++) {
                revived += pool.isReferenced(pool.find(s.name(i))) ? 0 : 1;
            }
            if (pool.available() < fresh + revived + spare) {
                return false;
            }
        }
        return true;
    }

    /**
     * Takes blocks for all ids of a sequence that has none; shares those that are cached, and brings back those that the host has. Returns the tokens
     * that were found in the prefix cache, the host's too.
     */
    int allocate(Sequence s, Copies[] fromHost) {
        int matched = match(s);
        int count = blocksFor(s.length());
        for (int g = 0; g < pools.length; g++) {
            for (int i = 0; i < matched; i++) {
                int block = pools[g].find(s.name(i));
                pools[g].retain(block);
                s.setBlock(g, i, block);
            }
        }
        for (int g = 0; g < pools.length; g++) {
            for (int i = matched; i < count; i++) {
                s.setBlock(g, i, pools[g].take());
            }
        }
        Sequence.Swapped swapped = s.swapped();
        if (swapped != null) {
            host.bringBack(s, swapped, matched, fromHost);
            s.allocated(count, Math.max(matched * blockTokens, swapped.tokens()));
            return matched * blockTokens;
        }
        int found = matched;
        for (int most = mostMatched(s); found < most && host.has(name(s, found)); found++) {
            host.bring(s, found, name(s, found), fromHost);
        }
        s.allocated(count, found * blockTokens);
        return found * blockTokens;
    }

    /** Whether the host has room for what a sequence has computed. */
    boolean canSwapOut(Sequence s) {
        return s.computed() > 0 && host.canTake(s, blocksFor(s.computed()));
    }

    /** Has the host keep what a sequence has computed; its blocks are still to be freed. */
    void swapOut(Sequence s, Copies[] toHost) {
        host.keep(s, blocksFor(s.computed()), s.computed(), toHost);
    }

    /** Whether {@link #append} would succeed. Does not modify the pools. */
    boolean canAppend(Sequence s) {
        int index = s.computed() / blockTokens;
        for (int g = 0; g < pools.length; g++) {
            boolean needs = index == s.blockCount() || pools[g].isShared(s.block(g, index));
            if (needs && pools[g].available() == 0) {
                return false;
            }
        }
        return true;
    }

    /** Makes the slot of the first id that is not computed writable: a new block at a boundary, a copy of a shared one. */
    void append(Sequence s, Copies[] copies) {
        int index = s.computed() / blockTokens;
        boolean grows = index == s.blockCount();
        for (int g = 0; g < pools.length; g++) {
            if (grows) {
                s.setBlock(g, index, pools[g].take());
                continue;
            }
            int shared = s.block(g, index);
            if (pools[g].isShared(shared)) {
                int own = pools[g].take();
                copies[g].add(shared, own);
                pools[g].release(shared);
                s.setBlock(g, index, own);
            }
        }
        if (grows) {
            s.allocated(index + 1, s.computed());
        }
    }

    /** Gives a sequence that has no blocks those that another has computed. Both then copy the last one before they write to it. */
    void fork(Sequence parent, Sequence child) {
        int count = blocksFor(parent.computed());
        for (int g = 0; g < pools.length; g++) {
            for (int i = 0; i < count; i++) {
                int block = parent.block(g, i);
                pools[g].retain(block);
                child.setBlock(g, i, block);
            }
        }
        child.allocated(count, parent.computed());
    }

    /** Makes the full blocks of the first {@code computed} ids available to other sequences. */
    void publish(Sequence s, int computed) {
        if (!prefixCache) {
            return;
        }
        int full = computed / blockTokens;
        for (int i = s.published(); i < full; i++) {
            BlockHash name = name(s, i);
            for (int g = 0; g < pools.length; g++) {
                pools[g].publish(s.block(g, i), name);
            }
        }
        s.setPublished(Math.max(full, s.published()));
    }

    /** Releases all blocks of a sequence, the last first: the beginning of a prompt stays cached longest. */
    void free(Sequence s) {
        for (int i = s.blockCount() - 1; i >= 0; i--) {
            for (int g = 0; g < pools.length; g++) {
                pools[g].release(s.block(g, i));
            }
        }
        s.freed();
    }

    /** Forgets what is cached: after a failed step nobody knows what the blocks hold. */
    void forgetAll() {
        for (BlockPool pool : pools) {
            pool.forgetAll();
        }
        host.forgetAll();
    }

    long evictions() {
        long sum = 0;
        for (BlockPool pool : pools) {
            sum += pool.evictions();
        }
        return sum;
    }

    /** Throws when a block is leaked, or counted wrongly. {@code owners}: all sequences that hold blocks. */
    void checkIntegrity(Collection<Sequence> owners) {
        for (int g = 0; g < pools.length; g++) {
            int[] held = new int[pools[g].size()];
            for (Sequence s : owners) {
                for (int i = 0; i < s.blockCount(); i++) {
                    held[s.block(g, i)]++;
                }
            }
            pools[g].checkIntegrity(held);
        }
    }

    /** Blocks at the beginning of a sequence that all groups have cached; never all of it, one id is left to compute. */
    private int match(Sequence s) {
        int most = mostMatched(s);
        for (int i = 0; i < most; i++) {
            BlockHash name = name(s, i);
            for (BlockPool pool : pools) {
                if (pool.find(name) < 0) {
                    return i;
                }
            }
        }
        return most;
    }

    private int mostMatched(Sequence s) {
        return prefixCache && s.group().usesPrefixCache() ? (s.length() - 1) / blockTokens : 0;
    }

    private BlockHash name(Sequence s, int index) {
        while (s.names() <= index) {
            int i = s.names();
            BlockHash parent =
                    i == 0 ? hasher.root(model, 0, s.group().request().cacheSalt()) : s.name(i - 1);
            s.addName(hasher.next(parent, s.ids(), i * blockTokens, blockTokens));
        }
        return s.name(index);
    }
}
