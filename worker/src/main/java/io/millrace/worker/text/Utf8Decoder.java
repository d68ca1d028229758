package io.millrace.worker.text;

/**
 * Bytes in, characters out, one chunk at a time. Ill-formed bytes become U+FFFD, one for each maximal subpart (Unicode, section
 * 3.9 "U+FFFD Substitution of Maximal Subparts"), as soon as they are certainly ill-formed; only the first two bytes of an encoded surrogate wait for their
 * third, as in Python's incremental decoder, so that the three are replaced together. Not thread-safe.
 */
final class Utf8Decoder {

    private static final char REPLACEMENT = '\uFFFD';

    /** Bits of the unfinished character so far. */
    private int codePoint;
    /** Bytes still missing of the unfinished character; 0: there is none. */
    private int needed;
    /** Range the next byte must be in. */
    private int lower = 0x80;

    private int upper = 0xBF;
    /** Two bytes of an encoded surrogate wait. */
    private boolean surrogate;

    /** Appends what is now certain. */
    void decode(byte[] bytes, StringBuilder out) {
        for (byte b : bytes) {
            accept(b & 0xFF, out);
        }
    }

    private void accept(int b, StringBuilder out) {
        if (needed > 0) {
            if (b >= lower && b <= upper) {
                lower = 0x80;
                upper = 0xBF;
                codePoint = (codePoint << 6) | (b & 0x3F);
                needed--;
                if (needed == 0) {
                    out.appendCodePoint(codePoint);
                }
                return;
            }
            if (codePoint == 0x0D && needed == 2 && b >= 0xA0 && b <= 0xBF) {
                needed = 0;
                surrogate = true;
                return;
            }
        }
        finish(out);
        start(b, out);
    }

    private void start(int b, StringBuilder out) {
        if (b < 0x80) {
            out.append((char) b);
        } else if (b >= 0xC2 && b <= 0xDF) {
            expect(1, b & 0x1F, 0x80, 0xBF);
        } else if (b >= 0xE0 && b <= 0xEF) {
            expect(2, b & 0x0F, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF);
        } else if (b >= 0xF0 && b <= 0xF4) {
            expect(3, b & 0x07, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF);
        } else {
            out.append(REPLACEMENT);
        }
    }

    private void expect(int count, int bits, int low, int high) {
        needed = count;
        codePoint = bits;
        lower = low;
        upper = high;
    }

    /** The end of the bytes, or of a broken character: an unfinished one becomes U+FFFD. */
    void finish(StringBuilder out) {
        if (surrogate) {
            surrogate = false;
            out.append(REPLACEMENT).append(REPLACEMENT);
        } else if (needed > 0) {
            needed = 0;
            out.append(REPLACEMENT);
        }
        lower = 0x80;
        upper = 0xBF;
    }
}
