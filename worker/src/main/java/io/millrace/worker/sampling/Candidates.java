package io.millrace.worker.sampling;

import java.util.Arrays;

/**
 * The ids that may still be drawn, and the filters that thin them out without sorting.
 *
 * <p>An id is a key: the bits of its probability above, the complement of its id below. So a larger key is a more probable id, or
 * the lower of two as probable ones; keys are all different, and top-k and top-p are each one threshold on the key, found by
 * quick-select. Probabilities are relative (the largest is 1) and multiples of 2^-34, so their sums are exact. Keys stay in the order of ids.
 */
final class Candidates {

    private static final float[] GATHER_FLOORS = {0x1p-8f, 0x1p-16f, 0x1p-30f, 0f};

    private final long[] keys;
    private final long[] scratch;
    private int size;

    Candidates(int vocabulary) {
        keys = new long[vocabulary];
        scratch = new long[vocabulary];
    }

    int size() {
        return size;
    }

    /**
     * Collects the most probable ids until they are at least {@code count} and weigh at least {@code mass}, or all are in that
     * are as probable as {@code needed}.
     */
    void gather(float[] p, int n, int count, double mass, float needed) {
        for (float floor : GATHER_FLOORS) {
            double weight = gatherAbove(p, n, floor);
            if ((size >= count && weight >= mass) || floor < needed) {
                return;
            }
        }
    }

    private double gatherAbove(float[] p, int n, float floor) {
        int found = 0;
        double weight = 0;
        for (int i = 0; i < n; i++) {
            float v = p[i];
            if (v > floor) {
                keys[found++] = key(v, i);
                weight += v;
            }
        }
        size = found;
        return weight;
    }

    /** Keeps the k most probable. */
    void keepTopK(int k) {
        if (k < size) {
            keepFrom(threshold(k, true));
        }
    }

    /** Keeps the smallest set of most probable ids that weighs at least {@code mass}. */
    void keepTopMass(double mass) {
        keepFrom(threshold(mass, false));
    }

    /** Keeps what is at least as probable as {@code floor} times the best. */
    void keepAtLeast(float floor) {
        keepFrom(key(floor, Integer.MAX_VALUE));
    }

    /**
     * Keeps the smallest set of ids, nearest to the distribution's entropy first, that weighs at least {@code share} of all
     * (Meister et al., "Locally typical sampling", 2022).
     */
    void keepTypical(double share) {
        double total = mass();
        double entropy = 0;
        for (int i = 0; i < size; i++) {
            double p = weight(keys[i]) / total;
            entropy += Exponential.rounded(-p * Logarithm.of(p));
        }
        for (int i = 0; i < size; i++) {
            float distance = (float) Math.abs(-Logarithm.of(weight(keys[i]) / total) - entropy);
            scratch[i] = ((long) Float.floatToRawIntBits(distance) << 32) | i;
        }
        Arrays.sort(scratch, 0, size);
        double sum = 0;
        int kept = 0;
        while (kept < size && (kept == 0 || sum < share * total)) {
            int at = (int) scratch[kept];
            sum += weight(keys[at]);
            scratch[kept++] = at;
        }
        Arrays.sort(scratch, 0, kept);
        for (int i = 0; i < kept; i++) {
            keys[i] = keys[(int) scratch[i]];
        }
        size = kept;
    }

    /** The weight of all, summed in the order of ids. */
    double mass() {
        double sum = 0;
        for (int i = 0; i < size; i++) {
            sum += weight(keys[i]);
        }
        return sum;
    }

    /** The id at which the running sum, in the order of ids, first exceeds {@code u} times the whole; u in [0, 1). */
    int draw(double u) {
        double target = u * mass();
        double sum = 0;
        for (int i = 0; i < size; i++) {
            sum += weight(keys[i]);
            if (sum > target) {
                return id(keys[i]);
            }
        }
        return id(keys[size - 1]);
    }

    private void keepFrom(long least) {
        int kept = 0;
        for (int i = 0; i < size; i++) {
            if (keys[i] >= least) {
                keys[kept++] = keys[i];
            }
        }
        size = kept;
    }

    /** The largest key such that those not below it weigh at least {@code target}; {@code count}: each weighs 1. */
    private long threshold(double target, boolean count) {
        System.arraycopy(keys, 0, scratch, 0, size);
        int lo = 0;
        int hi = size;
        double above = 0;
        long last = 0;
        while (lo < hi) {
            long pivot = median(scratch[lo], scratch[(lo + hi) >>> 1], scratch[hi - 1]);
            int split = lo;
            int pivotAt = lo;
            double larger = 0;
            for (int i = lo; i < hi; i++) {
                long key = scratch[i];
                if (key >= pivot) {
                    scratch[i] = scratch[split];
                    scratch[split] = key;
                    if (key == pivot) {
                        pivotAt = split;
                    } else {
                        larger += count ? 1 : weight(key);
                    }
                    split++;
                }
            }
            scratch[pivotAt] = scratch[split - 1];
            scratch[split - 1] = pivot;
            if (above + larger >= target && split - 1 > lo) {
                hi = split - 1;
                continue;
            }
            above += larger + (count ? 1 : weight(pivot));
            last = pivot;
            if (above >= target) {
                return pivot;
            }
            lo = split;
        }
        return last;
    }

    private static long median(long a, long b, long c) {
        return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
    }

    private static long key(float weight, int id) {
        return ((long) Float.floatToRawIntBits(weight) << 32) | (~id & 0xFFFFFFFFL);
    }

    private static float weight(long key) {
        return Float.intBitsToFloat((int) (key >>> 32));
    }

    private static int id(long key) {
        return ~(int) key;
    }
}
