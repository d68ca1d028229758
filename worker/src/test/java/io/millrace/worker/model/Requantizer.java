package io.millrace.worker.model;

import io.millrace.worker.model.weights.DType;
import java.util.Arrays;

/**
 * Rounds rows of floats to GGUF's block types, to nearest and without calibration: for tests that need a model in a type that nobody
 * published it in.
 */
public final class Requantizer {

    private static final int[] LEVELS = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    private Requantizer() {}

    /** Blocks of {@code values.length} values, a multiple of the type's block. */
    public static byte[] encode(DType type, float[] values) {
        byte[] out = new byte[Math.toIntExact(type.bytes(values.length))];
        int n = type.blockSize();
        for (int b = 0; b * n < values.length; b++) {
            Block block = new Block(out, b * type.blockBytes(), Arrays.copyOfRange(values, b * n, (b + 1) * n));
            switch (type) {
                case Q4_0 -> block.symmetric(8);
                case Q5_0 -> block.symmetric(16);
                case Q4_1 -> block.withMinimum(15);
                case Q5_1 -> block.withMinimum(31);
                case Q8_0 -> block.bytes();
                case IQ4_NL -> block.levels();
                case IQ4_XS -> block.superLevels();
                case Q2_K -> block.q2k();
                case Q3_K -> block.q3k();
                case Q4_K -> block.q45k(false);
                case Q5_K -> block.q45k(true);
                case Q6_K -> block.q6k();
                default -> throw new IllegalArgumentException(type + " is no block type");
            }
        }
        return out;
    }

    private static float half(float x) {
        return Float.float16ToFloat(Float.floatToFloat16(x));
    }

    private static int round(float x, int low, int high) {
        return Math.clamp(Math.round(x), low, high);
    }

    private static float over(float x, float d) {
        return d == 0 ? 0 : x / d;
    }

    /** One block under way: its bytes begin at {@code at}. */
    private record Block(byte[] out, int at, float[] x) {

        private void put(int offset, int bits) {
            out[at + offset] |= (byte) bits;
        }

        private float putHalf(int offset, float value) {
            short bits = Float.floatToFloat16(value);
            out[at + offset] = (byte) bits;
            out[at + offset + 1] = (byte) (bits >> 8);
            return half(value);
        }

        /** The value of the largest magnitude in [from, to), with its sign. */
        private float extreme(int from, int to) {
            float best = 0;
            for (int i = from; i < to; i++) {
                best = Math.abs(x[i]) > Math.abs(best) ? x[i] : best;
            }
            return best;
        }

        private void nibbles(int offset, int[] codes) {
            for (int j = 0; j < 16; j++) {
                put(offset + j, codes[j] & 15 | (codes[j + 16] & 15) << 4);
            }
        }

        private void fifthBits(int offset, int[] codes) {
            for (int j = 0; j < 32; j++) {
                put(offset + j / 8, (codes[j] >> 4) << j % 8);
            }
        }

        void symmetric(int zero) {
            float d = putHalf(0, extreme(0, 32) / -zero);
            int[] codes = new int[32];
            for (int j = 0; j < 32; j++) {
                codes[j] = round(over(x[j], d) + zero, 0, 2 * zero - 1);
            }
            if (zero == 16) {
                fifthBits(2, codes);
            }
            nibbles(zero == 16 ? 6 : 2, codes);
        }

        void withMinimum(int most) {
            float low = x[0];
            float high = x[0];
            for (float v : x) {
                low = Math.min(low, v);
                high = Math.max(high, v);
            }
            float d = putHalf(0, (high - low) / most);
            float m = putHalf(2, low);
            int[] codes = new int[32];
            for (int j = 0; j < 32; j++) {
                codes[j] = round(over(x[j] - m, d), 0, most);
            }
            if (most == 31) {
                fifthBits(4, codes);
            }
            nibbles(most == 31 ? 8 : 4, codes);
        }

        void bytes() {
            float d = putHalf(0, Math.abs(extreme(0, 32)) / 127);
            for (int j = 0; j < 32; j++) {
                put(2 + j, round(over(x[j], d), -127, 127));
            }
        }

        private int level(float value, float d) {
            int best = 0;
            for (int i = 1; i < LEVELS.length; i++) {
                if (Math.abs(value - d * LEVELS[i]) < Math.abs(value - d * LEVELS[best])) {
                    best = i;
                }
            }
            return best;
        }

        private int[] levelCodes(int from, float d) {
            int[] codes = new int[32];
            for (int j = 0; j < 32; j++) {
                codes[j] = level(x[from + j], d);
            }
            return codes;
        }

        void levels() {
            float d = putHalf(0, extreme(0, 32) / -127);
            nibbles(2, levelCodes(0, d));
        }

        void superLevels() {
            float most = Math.abs(extreme(0, 256)) / 127;
            float d = putHalf(0, most / -32);
            int high = 0;
            for (int s = 0; s < 8; s++) {
                int scale = round(over(extreme(32 * s, 32 * s + 32) / -127, d), -32, 31);
                put(4 + s / 2, (scale + 32 & 15) << 4 * (s & 1));
                high |= (scale + 32 >> 4) << 2 * s;
                nibbles(8 + 16 * s, levelCodes(32 * s, d * scale));
            }
            put(2, high);
            put(3, high >> 8);
        }

        /** Steps and minima of runs; minima are subtracted. */
        private float[][] steps(int run, int most) {
            int n = 256 / run;
            float[][] result = new float[2][n];
            for (int s = 0; s < n; s++) {
                float low = 0;
                float high = 0;
                for (int i = s * run; i < (s + 1) * run; i++) {
                    low = Math.min(low, x[i]);
                    high = Math.max(high, x[i]);
                }
                result[0][s] = (high - low) / most;
                result[1][s] = -low;
            }
            return result;
        }

        private static float largest(float[] values) {
            float most = 0;
            for (float v : values) {
                most = Math.max(most, v);
            }
            return most;
        }

        void q2k() {
            float[][] steps = steps(16, 3);
            float d = putHalf(80, largest(steps[0]) / 15);
            float m = putHalf(82, largest(steps[1]) / 15);
            for (int s = 0; s < 16; s++) {
                int scale = round(over(steps[0][s], d), 0, 15);
                int minimum = round(over(steps[1][s], m), 0, 15);
                put(s, scale | minimum << 4);
                for (int j = 0; j < 16; j++) {
                    int code = round(over(x[16 * s + j] + m * minimum, d * scale), 0, 3);
                    put(16 + 32 * (s >> 3) + 16 * (s & 1) + j, code << 2 * (s >> 1 & 3));
                }
            }
        }

        void q3k() {
            float d = putHalf(108, Math.abs(extreme(0, 256)) / 4 / -32);
            for (int s = 0; s < 16; s++) {
                int scale = round(over(extreme(16 * s, 16 * s + 16) / -4, d), -32, 31);
                int kept = scale + 32;
                put(96 + (s & 7), (kept & 15) << 4 * (s >> 3));
                put(104 + (s & 3), (kept >> 4) << 2 * (s >> 2));
                for (int j = 0; j < 16; j++) {
                    int code = round(over(x[16 * s + j], d * scale), -4, 3) + 4;
                    put(32 + 32 * (s >> 3) + 16 * (s & 1) + j, (code & 3) << 2 * (s >> 1 & 3));
                    put(16 * (s & 1) + j, (code >> 2) << (s >> 1));
                }
            }
        }

        void q45k(boolean five) {
            int most = five ? 31 : 15;
            float[][] steps = steps(32, most);
            float d = putHalf(0, largest(steps[0]) / 63);
            float m = putHalf(2, largest(steps[1]) / 63);
            for (int s = 0; s < 8; s++) {
                int scale = round(over(steps[0][s], d), 0, 63);
                int minimum = round(over(steps[1][s], m), 0, 63);
                if (s < 4) {
                    put(4 + s, scale);
                    put(8 + s, minimum);
                } else {
                    put(8 + s, scale & 15 | (minimum & 15) << 4);
                    put(s, (scale >> 4) << 6);
                    put(4 + s, (minimum >> 4) << 6);
                }
                for (int j = 0; j < 32; j++) {
                    int code = round(over(x[32 * s + j] + m * minimum, d * scale), 0, most);
                    put((five ? 48 : 16) + 32 * (s >> 1) + j, (code & 15) << 4 * (s & 1));
                    if (five) {
                        put(16 + j, (code >> 4) << s);
                    }
                }
            }
        }

        void q6k() {
            float d = putHalf(208, Math.abs(extreme(0, 256)) / 32 / -128);
            for (int s = 0; s < 16; s++) {
                int scale = round(over(extreme(16 * s, 16 * s + 16) / -32, d), -128, 127);
                put(192 + s, scale);
                for (int i = 0; i < 16; i++) {
                    int k = 16 * s + i;
                    int g = k / 32;
                    int j = k % 32;
                    int code = round(over(x[k], d * scale), -32, 31) + 32;
                    put(64 * (g >> 2) + 32 * (g & 1) + j, (code & 15) << 4 * (g >> 1 & 1));
                    put(128 + 32 * (g >> 2) + j, (code >> 4) << 2 * (g & 3));
                }
            }
        }
    }
}
