package io.millrace.worker.text.vocab;

/**
 * Cuts normalized text where a U+2581 follows another character. Where no token reaches over such a place, what lies between two
 * of them becomes the same ids wherever it stands.
 */
final class SpaceWords {

    private static final char SPACE = '\u2581';

    private SpaceWords() {}

    /** Whether words are independent of each other in this vocabulary. */
    static boolean areIndependent(Vocabulary vocabulary) {
        String[] tokens = vocabulary.tokens();
        for (int id = 0; id < tokens.length; id++) {
            if (PieceMerges.isPiece(vocabulary, id)
                    && !tokens[id].isEmpty()
                    && end(tokens[id], 0) < tokens[id].length()) {
                return false;
            }
        }
        return true;
    }

    /** End of the word that begins at {@code start}: spaces, then other characters. */
    static int end(String text, int start) {
        int at = start;
        while (at < text.length() && text.charAt(at) == SPACE) {
            at++;
        }
        int next = text.indexOf(SPACE, at);
        return next < 0 ? text.length() : next;
    }
}
