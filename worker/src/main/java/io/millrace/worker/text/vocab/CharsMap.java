package io.millrace.worker.text.vocab;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Sentencepiece's compiled normalisation: the longest of the texts in a double-array trie is replaced (Aoe, "An Efficient Digital
 * Search Algorithm by Using a Double-Array Structure", 1989; the layout is Darts-clone's). The bytes come from a file: no place in
 * them is trusted. Thread-safe.
 */
final class CharsMap {

    private final int[] units;
    private final byte[] replacements;

    private CharsMap(int[] units, byte[] replacements) {
        this.units = units;
        this.replacements = replacements;
    }

    static CharsMap of(Vocabulary vocabulary) {
        byte[] blob = vocabulary.spaces().charsMap();
        if (blob.length == 0) {
            return new CharsMap(new int[0], new byte[0]);
        }
        ByteBuffer buffer = ByteBuffer.wrap(blob).order(ByteOrder.LITTLE_ENDIAN);
        long size = blob.length < 4 ? -1 : Integer.toUnsignedLong(buffer.getInt());
        if (size < 4 || size % 4 != 0 || size > blob.length - 4) {
            throw vocabulary.broken(
                    "the precompiled charsmap of " + blob.length + " bytes says that its trie has " + size);
        }
        int[] units = new int[(int) size / 4];
        buffer.asIntBuffer().get(units);
        byte[] replacements = new byte[blob.length - 4 - (int) size];
        System.arraycopy(blob, 4 + (int) size, replacements, 0, replacements.length);
        return new CharsMap(units, replacements);
    }

    boolean isEmpty() {
        return units.length == 0;
    }

    /** Appends what the text at this place becomes; the number of bytes that it stands for, at least one. */
    int apply(byte[] utf8, int at, ByteArrayOutputStream out) {
        int longest = 0;
        int replacement = -1;
        int node = offset(units[0]);
        for (int i = at; i < utf8.length; i++) {
            node ^= utf8[i] & 0xFF;
            if (node < 0 || node >= units.length || (units[node] & 0x800000FF) != (utf8[i] & 0xFF)) {
                break;
            }
            boolean hasLeaf = (units[node] >>> 8 & 1) == 1;
            node ^= offset(units[node]);
            if (hasLeaf && node >= 0 && node < units.length) {
                longest = i + 1 - at;
                replacement = units[node] & 0x7FFFFFFF;
            }
        }
        if (longest == 0) {
            int length = length(utf8[at]);
            out.write(utf8, at, Math.min(length, utf8.length - at));
            return length;
        }
        int end = replacement;
        while (end < replacements.length && replacements[end] != 0) {
            end++;
        }
        if (end > replacement) {
            out.write(replacements, replacement, end - replacement);
        }
        return longest;
    }

    private static int offset(int unit) {
        return unit >>> 10 << ((unit & 1 << 9) >>> 6);
    }

    /** Of a character by its first byte. */
    private static int length(byte first) {
        int b = first & 0xFF;
        return b < 0xC0 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    }
}
