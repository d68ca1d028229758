package io.millrace.router.sim;

/**
 * A model whose token is a function of the request's seed and of all ids before it, with four bits that differ from one
 * execution to the next, as those of another machine's arithmetic do. So whether a token belongs to its prefix can be seen.
 */
final class MockEngine {

    private static final int NOISE_BITS = 4;

    private MockEngine() {}

    /** State before the first token. */
    static long start(long seed, int choice) {
        return mix(seed * 31 + choice);
    }

    static int sample(long state, int noise) {
        return (int) ((mix(state) << NOISE_BITS | (noise & ((1 << NOISE_BITS) - 1))) & 0x7fffffff);
    }

    static boolean belongs(long state, int token) {
        return sample(state, token) == token;
    }

    static long next(long state, int token) {
        return mix(state ^ token * 0x9e3779b97f4a7c15L);
    }

    /** Tokens of that choice, were nothing to go wrong. */
    static int length(long seed, int choice) {
        return 2 + (int) Long.remainderUnsigned(mix(seed ^ choice * 77L), 24);
    }

    static long mix(long value) {
        long z = value + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
