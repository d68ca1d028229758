package io.millrace.worker.model.weights;

import static io.millrace.worker.model.weights.PlainDecoder.half;

/** GGUF block types of 256 values ("K-quants" and IQ4_XS), as ggml's {@code ggml-quants.c} defines them. */
final class SuperBlocks {

    private static final int VALUES = 256;

    private SuperBlocks() {}

    /** 16 scale bytes (low nibble scale, high nibble minimum), 64 bytes of 2 bits, d, dmin. */
    static void q2k(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 84, o += VALUES) {
            float d = half(in, at + 80);
            float dmin = half(in, at + 82);
            for (int s = 0; s < 16; s++) {
                float dl = d * (in[at + s] & 15);
                float ml = dmin * (in[at + s] >> 4 & 15);
                int bytes = at + 16 + 32 * (s >> 3) + 16 * (s & 1);
                int shift = 2 * (s >> 1 & 3);
                for (int j = 0; j < 16; j++) {
                    out[o + 16 * s + j] = dl * (in[bytes + j] >> shift & 3) - ml;
                }
            }
        }
    }

    /** 32 bytes of high bits, 64 bytes of 2 bits, 12 bytes of sixteen 6-bit scales, d. A high bit of 0 subtracts 4. */
    static void q3k(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 110, o += VALUES) {
            float d = half(in, at + 108);
            for (int s = 0; s < 16; s++) {
                int low = in[at + 96 + (s & 7)] >> 4 * (s >> 3) & 15;
                int high = in[at + 104 + (s & 3)] >> 2 * (s >> 2) & 3;
                float dl = d * ((low | high << 4) - 32);
                int bytes = at + 32 + 32 * (s >> 3) + 16 * (s & 1);
                int shift = 2 * (s >> 1 & 3);
                int bits = at + 16 * (s & 1);
                int bit = s >> 1;
                for (int j = 0; j < 16; j++) {
                    int q = (in[bytes + j] >> shift & 3) - ((in[bits + j] >> bit & 1 ^ 1) << 2);
                    out[o + 16 * s + j] = dl * q;
                }
            }
        }
    }

    /** d, dmin, 12 bytes of eight 6-bit scales and minima, 128 bytes of nibbles. */
    static void q4k(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 144, o += VALUES) {
            float d = half(in, at);
            float dmin = half(in, at + 2);
            for (int s = 0; s < 8; s++) {
                float dl = d * scale(in, at + 4, s);
                float ml = dmin * minimum(in, at + 4, s);
                int bytes = at + 16 + 32 * (s >> 1);
                int shift = 4 * (s & 1);
                for (int j = 0; j < 32; j++) {
                    out[o + 32 * s + j] = dl * (in[bytes + j] >> shift & 15) - ml;
                }
            }
        }
    }

    /** As Q4_K, with 32 bytes of fifth bits before the nibbles. */
    static void q5k(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 176, o += VALUES) {
            float d = half(in, at);
            float dmin = half(in, at + 2);
            for (int s = 0; s < 8; s++) {
                float dl = d * scale(in, at + 4, s);
                float ml = dmin * minimum(in, at + 4, s);
                int bytes = at + 48 + 32 * (s >> 1);
                int shift = 4 * (s & 1);
                for (int j = 0; j < 32; j++) {
                    int q = in[bytes + j] >> shift & 15 | (in[at + 16 + j] >> s & 1) << 4;
                    out[o + 32 * s + j] = dl * q - ml;
                }
            }
        }
    }

    /** 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 signed scale bytes, d. */
    static void q6k(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 210, o += VALUES) {
            float d = half(in, at + 208);
            for (int g = 0; g < 8; g++) {
                int low = at + 64 * (g >> 2) + 32 * (g & 1);
                int lowShift = 4 * (g >> 1 & 1);
                int high = at + 128 + 32 * (g >> 2);
                int highShift = 2 * (g & 3);
                for (int part = 0; part < 2; part++) {
                    float dl = d * in[at + 192 + 2 * g + part];
                    for (int j = 16 * part; j < 16 * part + 16; j++) {
                        int q = in[low + j] >> lowShift & 15 | (in[high + j] >> highShift & 3) << 4;
                        out[o + 32 * g + j] = dl * (q - 32);
                    }
                }
            }
        }
    }

    /** d, 16 bits of high scale bits, 4 bytes of low scale nibbles, 128 bytes of nibbles into a table of levels. */
    static void iq4xs(byte[] in, int n, float[] out) {
        for (int at = 0, o = 0; o < n; at += 136, o += VALUES) {
            float d = half(in, at);
            int highs = in[at + 2] & 255 | (in[at + 3] & 255) << 8;
            for (int s = 0; s < 8; s++) {
                int low = in[at + 4 + (s >> 1)] >> 4 * (s & 1) & 15;
                int high = highs >> 2 * s & 3;
                float dl = d * ((low | high << 4) - 32);
                LegacyBlocks.nonLinear(dl, in, at + 8 + 16 * s, out, o + 32 * s);
            }
        }
    }

    private static int scale(byte[] in, int at, int s) {
        return s < 4 ? in[at + s] & 63 : in[at + 4 + s] & 15 | (in[at + s - 4] >> 2 & 0x30);
    }

    private static int minimum(byte[] in, int at, int s) {
        return s < 4 ? in[at + 4 + s] & 63 : in[at + 4 + s] >> 4 & 15 | (in[at + s] >> 2 & 0x30);
    }
}
