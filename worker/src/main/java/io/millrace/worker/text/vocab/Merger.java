package io.millrace.worker.text.vocab;

import java.util.Arrays;

/**
 * Byte-pair merging of one word: always the merge of the best rank, the leftmost of equals (Sennrich et al., "Neural Machine
 * Translation of Rare Words with Subword Units", 2016). Short words by scanning, long ones by a heap, so that a word of n
 * symbols costs O(n log n). Thread-safe.
 */
final class Merger {

    private static final int SCAN_MAX = 24;

    private final PairRanks ranks;

    Merger(PairRanks ranks) {
        this.ranks = ranks;
    }

    /** The ids that the first {@code n} of {@code ids} merge to; {@code ids} is overwritten. */
    int[] merge(int[] ids, int n) {
        return n <= SCAN_MAX ? scan(ids, n) : heap(ids, n);
    }

    private int[] scan(int[] ids, int n) {
        long[] pairs = new long[Math.max(0, n - 1)];
        for (int i = 0; i + 1 < n; i++) {
            pairs[i] = ranks.get(ids[i], ids[i + 1]);
        }
        while (n > 1) {
            int best = 0;
            for (int i = 1; i + 1 < n; i++) {
                if (pairs[i] < pairs[best]) {
                    best = i;
                }
            }
            if (pairs[best] == PairRanks.NONE) {
                break;
            }
            ids[best] = (int) pairs[best];
            System.arraycopy(ids, best + 2, ids, best + 1, n - best - 2);
            System.arraycopy(pairs, best + 1, pairs, best, n - 2 - best);
            n--;
            if (best > 0) {
                pairs[best - 1] = ranks.get(ids[best - 1], ids[best]);
            }
            if (best + 1 < n) {
                pairs[best] = ranks.get(ids[best], ids[best + 1]);
            }
        }
        return Arrays.copyOf(ids, n);
    }

    private int[] heap(int[] ids, int n) {
        int[] next = new int[n];
        int[] previous = new int[n];
        LongHeap heap = new LongHeap(n);
        for (int i = 0; i < n; i++) {
            next[i] = i + 1;
            previous[i] = i - 1;
            offer(heap, ids, next, i);
        }
        while (!heap.isEmpty()) {
            long entry = heap.poll();
            int at = (int) entry;
            if (next[at] < 0 || next[at] >= n) {
                continue;
            }
            long pair = ranks.get(ids[at], ids[next[at]]);
            if (pair == PairRanks.NONE || (pair >>> 32) != (entry >>> 32)) {
                continue;
            }
            int gone = next[at];
            ids[at] = (int) pair;
            next[at] = next[gone];
            next[gone] = -1;
            if (next[at] < n) {
                previous[next[at]] = at;
            }
            offer(heap, ids, next, at);
            if (previous[at] >= 0) {
                offer(heap, ids, next, previous[at]);
            }
        }
        int count = 0;
        for (int i = 0; i < n; i = next[i]) {
            ids[count++] = ids[i];
        }
        return Arrays.copyOf(ids, count);
    }

    private void offer(LongHeap heap, int[] ids, int[] next, int at) {
        if (next[at] < next.length) {
            long pair = ranks.get(ids[at], ids[next[at]]);
            if (pair != PairRanks.NONE) {
                heap.add((pair & 0xFFFFFFFF00000000L) | at);
            }
        }
    }
}
