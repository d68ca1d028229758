package io.millrace.worker.sampling;

/** The natural logarithm of positive normal numbers, the same bits on every machine, a GPU's among them (kernels/cuda/core/sample.h). */
final class Logarithm {

    private static final double LN_2 = 0.6931471805599453;
    private static final double SQRT_2 = 1.4142135623730951;
    private static final long MANTISSA = 0xfffffffffffffL;
    private static final long ONE = 0x3ff0000000000000L;

    private Logarithm() {}

    /** ln x, to about an ulp: x = 2^e m, and the series of artanh((m - 1) / (m + 1)). */
    static double of(double x) {
        long bits = Double.doubleToRawLongBits(x);
        int exponent = (int) (bits >>> 52) - 1023;
        double m = Double.longBitsToDouble((bits & MANTISSA) | ONE);
        if (m > SQRT_2) {
            m *= 0.5;
            exponent++;
        }
        double s = (m - 1) / (m + 1);
        double z = s * s;
        double p = 1.0 / 23;
        for (int k = 21; k >= 1; k -= 2) {
            p = p * z + 1.0 / k;
        }
        return exponent * LN_2 + 2 * s * p;
    }
}
