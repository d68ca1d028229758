package io.millrace.worker.text.vocab;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Cuts text into the words that merges never cross: each pattern in turn cuts the pieces of the one before, into its matches and
 * what lies between. A pattern does not see beyond its piece. The patterns are made so that backtracking stays linear in the
 * length of a run and takes no stack. Thread-safe.
 */
final class PreTokenizer {

    /** Receives the words, in order, as regions of the text. */
    @FunctionalInterface
    interface Words {
        void word(int start, int end);
    }

    private final Pattern[] patterns;
    private final boolean nfc;
    private final boolean ignoreMerges;
    private final boolean addsBos;

    PreTokenizer(List<String> patterns, boolean nfc, boolean ignoreMerges, boolean addsBos) {
        this(patterns.stream().map(Pattern::compile).toArray(Pattern[]::new), nfc, ignoreMerges, addsBos);
    }

    private PreTokenizer(Pattern[] patterns, boolean nfc, boolean ignoreMerges, boolean addsBos) {
        this.patterns = patterns;
        this.nfc = nfc;
        this.ignoreMerges = ignoreMerges;
        this.addsBos = addsBos;
    }

    /** The same patterns. */
    PreTokenizer with(boolean otherNfc, boolean otherIgnoreMerges) {
        return new PreTokenizer(patterns, otherNfc, otherIgnoreMerges, addsBos);
    }

    /** Whether text is brought to Unicode's normal form C first. */
    boolean nfc() {
        return nfc;
    }

    /** Whether a word that is a token is taken as it is, without merging. */
    boolean ignoreMerges() {
        return ignoreMerges;
    }

    /** Whether files with this name that do not say it mean a BOS. */
    boolean addsBos() {
        return addsBos;
    }

    void split(CharSequence text, Words words) {
        if (text.isEmpty()) {
            return;
        }
        Matcher[] matchers = new Matcher[patterns.length];
        for (int i = 0; i < matchers.length; i++) {
            matchers[i] = patterns[i].matcher(text);
        }
        split(matchers, 0, 0, text.length(), words);
    }

    private static void split(Matcher[] matchers, int stage, int start, int end, Words words) {
        if (stage == matchers.length) {
            words.word(start, end);
            return;
        }
        Matcher matcher = matchers[stage].region(start, end);
        int from = start;
        while (matcher.find()) {
            if (matcher.end() == matcher.start()) {
                continue;
            }
            if (matcher.start() > from) {
                split(matchers, stage + 1, from, matcher.start(), words);
            }
            split(matchers, stage + 1, matcher.start(), matcher.end(), words);
            from = matcher.end();
        }
        if (from < end) {
            split(matchers, stage + 1, from, end, words);
        }
    }
}
