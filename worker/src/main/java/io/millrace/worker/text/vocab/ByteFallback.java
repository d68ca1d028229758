package io.millrace.worker.text.vocab;

import java.nio.charset.StandardCharsets;

/** What a character gives that the vocabulary lacks: its bytes, else the unknown token. Thread-safe. */
final class ByteFallback {

    private final int[] byteIds = new int[256];
    private final int unknown;

    ByteFallback(Vocabulary vocabulary, TokenTable table) {
        for (int b = 0; b < 256; b++) {
            byteIds[b] = table.id("<0x%02X>".formatted(b));
        }
        this.unknown = vocabulary.special().unknown();
    }

    /**
     * Appends the ids of characters.
     *
     * @param lastUnknown the unknown token stands before: one is enough for a run
     * @return whether they are unknown
     */
    boolean encode(String characters, boolean lastUnknown, IdBuffer out) {
        byte[] utf8 = characters.getBytes(StandardCharsets.UTF_8);
        for (byte b : utf8) {
            if (byteIds[b & 0xFF] < 0) {
                if (!lastUnknown && unknown >= 0) {
                    out.add(unknown);
                }
                return true;
            }
        }
        for (byte b : utf8) {
            out.add(byteIds[b & 0xFF]);
        }
        return false;
    }
}
