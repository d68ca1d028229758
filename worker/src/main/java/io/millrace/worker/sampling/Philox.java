package io.millrace.worker.sampling;

/**
 * Philox 4x32 with 10 rounds: random numbers as a pure function of key and counter (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011).
 *
 * <p>Millrace's use: the key is the request's seed; the counter is (position, purpose, choice, 0). So a random number depends on
 * what it is for and on nothing else: not on the row of the batch, not on how often a request was resumed.
 */
public final class Philox {

    /** What a random number is used for. The ordinal goes into the counter: append only. */
    public enum Purpose {
        SAMPLE,
        ACCEPT,
        RESIDUAL,
        DRAFT
    }

    private static final long M0 = 0xD2511F53L;
    private static final long M1 = 0xCD9E8D57L;
    private static final int W0 = 0x9E3779B9;
    private static final int W1 = 0xBB67AE85;
    private static final int ROUNDS = 10;
    private static final double TWO_POW_MINUS_53 = 0x1.0p-53;

    private Philox() {}

    /** Uniform in [0, 1), 53 bits. */
    public static double uniform(long seed, int choice, int position, Purpose purpose) {
        int[] counter = {position, purpose.ordinal(), choice, 0};
        block(counter, (int) seed, (int) (seed >>> 32));
        long bits = ((counter[0] & 0xFFFFFFFFL) << 32) | (counter[1] & 0xFFFFFFFFL);
        return (bits >>> 11) * TWO_POW_MINUS_53;
    }

    /** Replaces the counter (four words) by four random words. */
    static void block(int[] counter, int key0, int key1) {
        int c0 = counter[0];
        int c1 = counter[1];
        int c2 = counter[2];
        int c3 = counter[3];
        int k0 = key0;
        int k1 = key1;
        for (int round = 0; round < ROUNDS; round++) {
            long p0 = M0 * (c0 & 0xFFFFFFFFL);
            long p1 = M1 * (c2 & 0xFFFFFFFFL);
            c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
            c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
            c1 = (int) p1;
            c3 = (int) p0;
            k0 += W0;
            k1 += W1;
        }
        counter[0] = c0;
        counter[1] = c1;
        counter[2] = c2;
        counter[3] = c3;
    }
}
