package io.millrace.worker.text;

import java.nio.charset.StandardCharsets;

/** Bytes of sentencepiece tokens. */
public final class PieceBytes {

    private PieceBytes() {}

    /** {@code <0xNN>} is that byte; any other text is itself with U+2581 as a space. */
    public static byte[] of(String token) {
        int value = byteValue(token);
        if (value >= 0) {
            return new byte[] {(byte) value};
        }
        return spaced(token);
    }

    /** The text with U+2581 as a space. */
    public static byte[] spaced(String token) {
        return plain(token.replace('\u2581', ' '));
    }

    /** The text as it stands. */
    public static byte[] plain(String token) {
        return token.getBytes(StandardCharsets.UTF_8);
    }

    /** The byte of {@code <0xNN>}; -1 for any other text. */
    public static int byteValue(String token) {
        if (token.length() != 6 || !token.startsWith("<0x") || token.charAt(5) != '>') {
            return -1;
        }
        int high = Character.digit(token.charAt(3), 16);
        int low = Character.digit(token.charAt(4), 16);
        return high < 0 || low < 0 ? -1 : high * 16 + low;
    }
}
