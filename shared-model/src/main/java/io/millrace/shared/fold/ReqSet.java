package io.millrace.shared.fold;

import java.util.BitSet;
import java.util.TreeMap;

/** A set of offsets, one bit each, in blocks of 4,096: remembers every forgotten request for about a bit. */
final class ReqSet {

    private static final int SHIFT = 12;
    private static final int MASK = (1 << SHIFT) - 1;

    private final TreeMap<Long, BitSet> blocks = new TreeMap<>();

    void add(long req) {
        blocks.computeIfAbsent(req >> SHIFT, block -> new BitSet()).set((int) (req & MASK));
    }

    boolean contains(long req) {
        BitSet block = blocks.get(req >> SHIFT);
        return block != null && block.get((int) (req & MASK));
    }

    /** Drops whole blocks below. */
    void dropBelow(long req) {
        blocks.headMap(req >> SHIFT, false).clear();
    }
}
