package io.millrace.worker.engine;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.engine.PrefixCache.BlockHash;
import io.millrace.worker.engine.Sequence.Swapped;
import java.util.Collection;

/**
 * Blocks of preempted sequences, on the host. Those that can be found by name in the prefix cache keep their names here: sequences that share them
 * share them here too, and they are found again when nobody holds them any more, until their place is needed. Confined to the engine's thread.
 */
final class HostPools {

    private final BlockPool[] pools;
    private final int blocks;
    private long swappedOut;
    private long swappedIn;

    HostPools(KvLayout layout) {
        this.blocks = layout.hostBlocks();
        this.pools = layout.groups().stream().map(g -> new BlockPool(blocks)).toArray(BlockPool[]::new);
    }

    int blocks() {
        return blocks;
    }

    /** Blocks that waiting sequences hold, of the pool that has most of them. */
    int used() {
        int most = 0;
        for (BlockPool pool : pools) {
            most = Math.max(most, blocks - pool.available());
        }
        return most;
    }

    /** Blocks that were copied to the host so far, of all groups. */
    long swappedOut() {
        return swappedOut;
    }

    /** Blocks that were copied back. */
    long swappedIn() {
        return swappedIn;
    }

    /** Whether there is room for the first {@code count} blocks of a sequence. */
    boolean canTake(Sequence s, int count) {
        for (BlockPool pool : pools) {
            int needed = 0;
            for (int i = 0; i < count; i++) {
                int there = find(pool, s, i);
                needed += there >= 0 && pool.isReferenced(there) ? 0 : 1;
            }
            if (needed > pool.available()) {
                return false;
            }
        }
        return true;
    }

    /** Keeps the first {@code count} blocks of a sequence, which hold {@code tokens}; adds what is not here yet to what is to be copied. */
    void keep(Sequence s, int count, int tokens, KvCache.Copies[] copies) {
        int[][] kept = new int[pools.length][count];
        for (int g = 0; g < pools.length; g++) {
            // First what is here, so that nothing of it is given up for the rest.
            for (int i = 0; i < count; i++) {
                kept[g][i] = find(pools[g], s, i);
                if (kept[g][i] >= 0) {
                    pools[g].retain(kept[g][i]);
                }
            }
            for (int i = 0; i < count; i++) {
                if (kept[g][i] < 0) {
                    kept[g][i] = take(pools[g], s, i);
                    copies[g].add(s.block(g, i), kept[g][i]);
                    swappedOut++;
                }
            }
        }
        s.setSwapped(new Swapped(kept, tokens));
    }

    private static int take(BlockPool pool, Sequence s, int index) {
        int block = pool.take();
        if (index < s.published()) {
            pool.publish(block, s.name(index));
        }
        return block;
    }

    private static int find(BlockPool pool, Sequence s, int index) {
        return index < s.published() ? pool.find(s.name(index)) : -1;
    }

    /** Whether all groups have a block of that name. */
    boolean has(BlockHash name) {
        for (BlockPool pool : pools) {
            if (pool.find(name) < 0) {
                return false;
            }
        }
        return true;
    }

    /** Brings a named block back into a sequence's block. */
    void bring(Sequence s, int index, BlockHash name, KvCache.Copies[] copies) {
        for (int g = 0; g < pools.length; g++) {
            int there = pools[g].find(name);
            // Used: the youngest now.
            pools[g].retain(there);
            pools[g].release(there);
            copies[g].add(there, s.block(g, index));
            swappedIn++;
        }
    }

    /** Brings a sequence's blocks from {@code first} on back, and lets go of all; named ones can still be found. */
    void bringBack(Sequence s, Swapped swapped, int first, KvCache.Copies[] copies) {
        for (int g = 0; g < pools.length; g++) {
            int[] kept = swapped.blocks()[g];
            for (int i = first; i < kept.length; i++) {
                copies[g].add(kept[i], s.block(g, i));
                swappedIn++;
            }
        }
        release(s);
    }

    /** Lets go of what a sequence has here, if anything. */
    void release(Sequence s) {
        Swapped swapped = s.swapped();
        if (swapped == null) {
            return;
        }
        for (int g = 0; g < pools.length; g++) {
            int[] kept = swapped.blocks()[g];
            for (int i = kept.length - 1; i >= 0; i--) {
                pools[g].release(kept[i]);
            }
        }
        s.setSwapped(null);
    }

    /** Forgets what can be found by name. */
    void forgetAll() {
        for (BlockPool pool : pools) {
            pool.forgetAll();
        }
    }

    /** Throws when a block is leaked, or counted wrongly. {@code owners}: all sequences that may have blocks here. */
    void checkIntegrity(Collection<Sequence> owners) {
        for (int g = 0; g < pools.length; g++) {
            int[] held = new int[blocks];
            for (Sequence s : owners) {
                Swapped swapped = s.swapped();
                if (swapped != null) {
                    for (int block : swapped.blocks()[g]) {
                        held[block]++;
                    }
                }
            }
            pools[g].checkIntegrity(held);
        }
    }
}
