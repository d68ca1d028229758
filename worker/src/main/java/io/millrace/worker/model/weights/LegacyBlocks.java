package io.millrace.worker.model.weights;

import static io.millrace.worker.model.weights.PlainDecoder.half;
import static io.millrace.worker.model.weights.PlainDecoder.word;

/** GGUF block types of 32 values, as ggml's {@code ggml-quants.c} defines them. Low nibbles are the first 16 values. */
final class LegacyBlocks {

    private static final int VALUES = 32;
    private static final int HALF = 16;

    private LegacyBlocks() {}

    static void q4x0(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 18, o += VALUES) {
            float d = half(in, at);
            for (int j = 0; j < HALF; j++) {
                int q = in[at + 2 + j];
                out[o + j] = d * ((q & 15) - 8);
                out[o + HALF + j] = d * ((q >> 4 & 15) - 8);
            }
        }
    }

    static void q4x1(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 20, o += VALUES) {
            float d = half(in, at);
            float m = half(in, at + 2);
            for (int j = 0; j < HALF; j++) {
                int q = in[at + 4 + j];
                out[o + j] = d * (q & 15) + m;
                out[o + HALF + j] = d * (q >> 4 & 15) + m;
            }
        }
    }

    static void q5x0(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 22, o += VALUES) {
            float d = half(in, at);
            int high = word(in, at + 2);
            for (int j = 0; j < HALF; j++) {
                int q = in[at + 6 + j];
                out[o + j] = d * ((q & 15 | (high >>> j & 1) << 4) - 16);
                out[o + HALF + j] = d * ((q >> 4 & 15 | (high >>> j + HALF & 1) << 4) - 16);
            }
        }
    }

    static void q5x1(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 24, o += VALUES) {
            float d = half(in, at);
            float m = half(in, at + 2);
            int high = word(in, at + 4);
            for (int j = 0; j < HALF; j++) {
                int q = in[at + 8 + j];
                out[o + j] = d * (q & 15 | (high >>> j & 1) << 4) + m;
                out[o + HALF + j] = d * (q >> 4 & 15 | (high >>> j + HALF & 1) << 4) + m;
            }
        }
    }

    static void q8x0(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 34, o += VALUES) {
            float d = half(in, at);
            for (int j = 0; j < VALUES; j++) {
                out[o + j] = d * in[at + 2 + j];
            }
        }
    }

    static void iq4nl(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 18, o += VALUES) {
            nonLinear(half(in, at), in, at + 2, out, o);
        }
    }

    /** 32 values of 16 bytes, each nibble an index into {@link #level}. */
    static void nonLinear(float d, byte[] in, int at, float[] out, int o) {
        for (int j = 0; j < HALF; j++) {
            int q = in[at + j];
            out[o + j] = d * level(q & 15);
            out[o + HALF + j] = d * level(q >> 4 & 15);
        }
    }

    private static final byte[] LEVELS = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    private static int level(int q) {
        return LEVELS[q];
    }
}
