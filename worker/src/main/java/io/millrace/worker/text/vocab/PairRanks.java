package io.millrace.worker.text.vocab;

/** From a pair of ids to the rank of their merge and its id: open addressing, load below one half. Thread-safe once built. */
final class PairRanks {

    /** No merge. Larger than every packed value. */
    static final long NONE = Long.MAX_VALUE;

    private static final long FREE = -1;

    private final long[] keys;
    private final long[] values;
    private final int mask;

    PairRanks(int capacity) {
        int size = Integer.highestOneBit(Math.max(8, capacity)) * 4;
        keys = new long[size];
        values = new long[size];
        java.util.Arrays.fill(keys, FREE);
        mask = size - 1;
    }

    /** The first rank of a pair stays. */
    void put(int left, int right, int rank, int merged) {
        long key = key(left, right);
        int slot = slot(key);
        while (keys[slot] != FREE) {
            if (keys[slot] == key) {
                return;
            }
            slot = (slot + 1) & mask;
        }
        keys[slot] = key;
        values[slot] = ((long) rank << 32) | merged;
    }

    /** Rank in the upper half, merged id in the lower; {@link #NONE}. */
    long get(int left, int right) {
        long key = key(left, right);
        int slot = slot(key);
        while (keys[slot] != FREE) {
            if (keys[slot] == key) {
                return values[slot];
            }
            slot = (slot + 1) & mask;
        }
        return NONE;
    }

    private static long key(int left, int right) {
        return ((long) left << 32) | right;
    }

    private int slot(long key) {
        long hash = key * 0x9E3779B97F4A7C15L;
        return (int) (hash >>> 33) & mask;
    }
}
