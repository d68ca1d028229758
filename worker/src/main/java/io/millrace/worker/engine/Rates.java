package io.millrace.worker.engine;

/**
 * Learns how fast the model is, from the steps: moving averages that forget with a factor of 0.8 a step. Confined to the engine's
 * thread.
 */
final class Rates {

    private static final double KEEP = 0.8;
    private static final double LEAST_SHARE = 0.1;

    private double prefillTokensPerS;
    private double decodeStepS;

    /** A step of so many decode rows and prefill tokens took so long; of a mixed step the prefill gets what a decode step leaves. */
    void learn(int decodeRows, int prefillTokens, long nanos) {
        double seconds = Math.max(nanos, 1) * 1e-9;
        if (prefillTokens == 0) {
            decodeStepS = blend(decodeStepS, seconds);
            return;
        }
        double own = decodeRows == 0 ? seconds : Math.max(seconds - decodeStepS, seconds * LEAST_SHARE);
        prefillTokensPerS = blend(prefillTokensPerS, prefillTokens / own);
    }

    private static double blend(double before, double now) {
        return before == 0 ? now : KEEP * before + (1 - KEEP) * now;
    }

    double prefillTokensPerS() {
        return prefillTokensPerS;
    }

    double decodeStepS() {
        return decodeStepS;
    }
}
