package io.millrace.worker.text.vocab;

import io.millrace.shared.error.MillraceException;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Everything that decides which ids a text has. The arrays are not copied and must not change. Thread-safe.
 *
 * @param source where it was read, for messages
 * @param cutting how the text of a byte-level vocabulary is cut into words
 * @param tokens token texts by id; an empty one cannot be written
 * @param types by id, see {@link TokenType}
 * @param scores by id; empty if the file has none
 * @param merges "left right", best first; empty if the file has none
 * @param added how tokens that are written in a text are found, by id, where it is not as they stand
 */
public record Vocabulary(
        Source source,
        Kind kind,
        Cutting cutting,
        String[] tokens,
        int[] types,
        float[] scores,
        String[] merges,
        Special special,
        Spaces spaces,
        Map<Integer, AddedRule> added) {

    private static final int TOKEN_CHARS_MAX = 2048;

    /** How words become tokens. */
    public enum Kind {
        /** Bytes merge by rank. */
        BYTE_PAIR,
        /** Characters merge by score. */
        SENTENCE_PIECE,
        /** The most probable segmentation. */
        UNIGRAM
    }

    /**
     * Names for messages.
     *
     * @param file path
     * @param tokens the file's name for them, as for the others
     */
    public record Source(String file, String tokens, String types, String scores, String merges) {}

    /**
     * How text is cut into words.
     *
     * @param pre name of the pre-tokenizer; "default" if the file has none
     * @param nfc text is brought to Unicode's normal form C first; null: as usual with this name, as below
     * @param ignoreMerges a word that is a token is taken as it is
     */
    public record Cutting(
            String pre, @Nullable Boolean nfc, @Nullable Boolean ignoreMerges) {

        /** All as usual with this name. */
        public static Cutting named(String pre) {
            return new Cutting(pre, null, null);
        }
    }

    /**
     * Ids with a meaning; -1: none.
     *
     * @param ends further ids that end a text
     * @param endsByText the texts by which models end a turn end the answer too
     * @param addBos null: not said, the tokenizer's kind decides
     */
    public record Special(
            int bos,
            int eos,
            int[] ends,
            boolean endsByText,
            int unknown,
            @Nullable Boolean addBos,
            @Nullable Boolean addEos) {}

    /**
     * How text is brought into the form that sentencepiece vocabularies are made of.
     *
     * @param addPrefix a space before the text; null: not said
     * @param removeExtra spaces at both ends go, and all but one of several
     * @param asSuffix the added space stands after the text
     * @param charsMap sentencepiece's compiled rules; empty: none
     */
    public record Spaces(@Nullable Boolean addPrefix, boolean removeExtra, boolean asSuffix, byte[] charsMap) {

        /** Nothing said. */
        public static final Spaces DEFAULT = new Spaces(null, false, false, new byte[0]);
    }

    /**
     * How a token that is written in a text is found.
     *
     * @param stripLeft white space before it belongs to it
     * @param stripRight white space after it belongs to it
     * @param singleWord only where no letter, digit or underscore touches it
     */
    public record AddedRule(boolean stripLeft, boolean stripRight, boolean singleWord) {}

    /** Ids by text; the arrays' lengths and every value are checked. */
    Map<String, Integer> checkedIds() {
        if (tokens.length == 0) {
            throw broken(source.tokens + " is empty");
        }
        if (types.length != tokens.length) {
            throw broken(source.tokens + " has " + tokens.length + " tokens, " + source.types + " has " + types.length
                    + " entries");
        }
        if (scores.length != 0 && scores.length != tokens.length) {
            throw broken(source.tokens + " has " + tokens.length + " tokens, " + source.scores + " has " + scores.length
                    + " entries");
        }
        Map<String, Integer> ids = HashMap.newHashMap(tokens.length);
        for (int id = 0; id < tokens.length; id++) {
            if (types[id] < TokenType.UNDEFINED || types[id] > TokenType.BYTE) {
                throw broken(source.types + "[" + id + "] is " + types[id] + "; the types are 0 to 6");
            }
            if (scores.length != 0 && !Float.isFinite(scores[id])) {
                throw broken(source.scores + "[" + id + "] is " + scores[id]);
            }
            if (tokens[id].isEmpty()) {
                continue;
            }
            if (tokens[id].length() > TOKEN_CHARS_MAX) {
                throw broken(source.tokens + "[" + id + "] has " + tokens[id].length() + " characters; at most "
                        + TOKEN_CHARS_MAX + " are accepted");
            }
            Integer before = ids.putIfAbsent(tokens[id], id);
            if (before != null) {
                throw broken(
                        source.tokens + " has the token \"" + tokens[id] + "\" twice, as " + before + " and as " + id);
            }
        }
        return ids;
    }

    /** MR-TEXT-002, naming the file. */
    MillraceException broken(String what) {
        return broken(source.file, what);
    }

    /** MR-TEXT-002: the vocabulary in this file cannot be used. */
    public static MillraceException broken(String file, String what) {
        return new MillraceException(
                "MR-TEXT-002",
                "The vocabulary in " + file + " is broken: " + what + ". Convert or download the file again.");
    }

    /** MR-TEXT-003: a kind of tokenizer that is not supported. */
    public static MillraceException unsupported(String message) {
        return new MillraceException("MR-TEXT-003", message);
    }
}
