package io.millrace.worker.sampling;

/**
 * exp for a whole vocabulary, the same bits on every machine.
 *
 * <p>exp(y) = exp(y / 256)^256: a polynomial and eight squarings, so only multiplications and additions, which the JIT turns into
 * vector code and which are exact by IEEE rules (no library function, no fused operation). Relative error below 1e-9, before
 * rounding to float. Not thread-safe.
 */
final class Exponential {

    /** Values are summed in chunks of so many, each with eight running sums: the order of additions never changes. */
    static final int CHUNK = 1024;

    /** Added and subtracted again, it leaves a multiple of 2^-34 of what is from 0 to 1. */
    private static final double ROUNDER = 0x1.8p18;

    /** Below this, exp counts as 0. */
    private static final double LOWEST = -80;

    private static final double FLOOR = exp(LOWEST);

    private final double[] chunkSums;
    private final double[] scratch = new double[CHUNK];

    Exponential(int vocabulary) {
        chunkSums = new double[(vocabulary + CHUNK - 1) / CHUNK];
    }

    /** Sum of each chunk of the last call. */
    double[] chunkSums() {
        return chunkSums;
    }

    /** Writes weights as {@link #apply}, each rounded to a multiple of 2^-34; returns their sum. */
    double weights(float[] x, int offset, int n, double max, double scale, float[] out) {
        return apply(x, offset, n, max, scale, ROUNDER, out);
    }

    /**
     * Writes {@code out[i] = exp((x[offset + i] - max) * scale)} for i in 0..n-1, exactly 0 below exp(-80).
     *
     * @param max largest of the values, so that no result is above 1
     * @return the sum of the chunk sums
     */
    double apply(float[] x, int offset, int n, double max, double scale, float[] out) {
        return apply(x, offset, n, max, scale, 0, out);
    }

    private double apply(float[] x, int offset, int n, double max, double scale, double rounder, float[] out) {
        double total = 0;
        int chunk = 0;
        for (int from = 0; from < n; from += CHUNK) {
            int count = Math.min(CHUNK, n - from);
            fill(x, offset + from, count, max, scale, rounder, scratch, out, from);
            double sum = sum(out, from, count);
            chunkSums[chunk++] = sum;
            total += sum;
        }
        return total;
    }

    /** Four plain loops, each over one type: mixed in one, the JIT does not vectorise them (7 times slower). */
    private static void fill(
            float[] x,
            int xFrom,
            int n,
            double max,
            double scale,
            double rounder,
            double[] y,
            float[] out,
            int outFrom) {
        for (int i = 0; i < n; i++) {
            y[i] = x[xFrom + i];
        }
        for (int i = 0; i < n; i++) {
            y[i] = Math.max((y[i] - max) * scale, LOWEST);
        }
        for (int i = 0; i < n; i++) {
            y[i] = exp(y[i]) - FLOOR + rounder - rounder;
        }
        for (int i = 0; i < n; i++) {
            out[outFrom + i] = (float) y[i];
        }
    }

    /** To the nearest multiple of 2^-34, of what is from 0 to 1. */
    static double rounded(double y) {
        return y + ROUNDER - ROUNDER;
    }

    private static double exp(double y) {
        double z = y * (1.0 / 256);
        double p = 1.0 / 362880;
        p = p * z + 1.0 / 40320;
        p = p * z + 1.0 / 5040;
        p = p * z + 1.0 / 720;
        p = p * z + 1.0 / 120;
        p = p * z + 1.0 / 24;
        p = p * z + 1.0 / 6;
        p = p * z + 0.5;
        p = p * z + 1;
        p = p * z + 1;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        return p;
    }

    private static double sum(float[] x, int from, int n) {
        double s0 = 0;
        double s1 = 0;
        double s2 = 0;
        double s3 = 0;
        double s4 = 0;
        double s5 = 0;
        double s6 = 0;
        double s7 = 0;
        int i = from;
        int end = from + n;
        for (; i + 8 <= end; i += 8) {
            s0 += x[i];
            s1 += x[i + 1];
            s2 += x[i + 2];
            s3 += x[i + 3];
            s4 += x[i + 4];
            s5 += x[i + 5];
            s6 += x[i + 6];
            s7 += x[i + 7];
        }
        for (; i < end; i++) {
            s0 += x[i];
        }
        return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    }
}
