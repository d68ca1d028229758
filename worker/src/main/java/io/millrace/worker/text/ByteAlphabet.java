package io.millrace.worker.text;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * GPT-2's way to write bytes as visible characters: printable Latin-1 bytes as themselves, the others, in order, as U+0100 and
 * on. (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; the table is in their code.)
 */
public final class ByteAlphabet {

    private static final int CHARS = 0x100 + 68;

    private final char[] charOf = new char[256];
    private final short[] byteOf = new short[CHARS];

    public ByteAlphabet() {
        Arrays.fill(byteOf, (short) -1);
        int next = 0x100;
        for (int b = 0; b < 256; b++) {
            boolean visible = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
            charOf[b] = (char) (visible ? b : next++);
            byteOf[charOf[b]] = (short) b;
        }
    }

    public char charOf(int b) {
        return charOf[b];
    }

    /** The bytes that the characters stand for; the UTF-8 bytes of the text if one is not of the alphabet. */
    public byte[] bytes(String token) {
        byte[] bytes = new byte[token.length()];
        for (int i = 0; i < bytes.length; i++) {
            char c = token.charAt(i);
            if (c >= CHARS || byteOf[c] < 0) {
                return token.getBytes(StandardCharsets.UTF_8);
            }
            bytes[i] = (byte) byteOf[c];
        }
        return bytes;
    }
}
