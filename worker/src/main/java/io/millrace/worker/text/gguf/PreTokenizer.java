package io.millrace.worker.text.gguf;

import java.util.List;
import java.util.function.BiConsumer;
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

    PreTokenizer(List<String> patterns, boolean nfc, boolean ignoreMerges) {
        this.patterns = patterns.stream().map(Pattern::compile).toArray(Pattern[]::new);
        this.nfc = nfc;
        this.ignoreMerges = ignoreMerges;
    }

    /** Whether text is brought to Unicode's normal form C first. */
    boolean nfc() {
        return nfc;
    }

    /** Whether a word that is a token is taken as it is, without merging. */
    boolean ignoreMerges() {
        return ignoreMerges;
    }

    void split(String text, Words words) {
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

    /** For tests and diagnosis. */
    void forEach(String text, BiConsumer<Integer, String> words) {
        split(text, (start, end) -> words.accept(start, text.substring(start, end)));
    }
}
