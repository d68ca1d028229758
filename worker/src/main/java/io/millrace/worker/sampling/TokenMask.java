package io.millrace.worker.sampling;

/** The ids that may be chosen. Thread-safe. */
@FunctionalInterface
public interface TokenMask {

    /** [(vocabulary + 31) / 32] bit {@code id % 32} of word {@code id / 32}: 1 allowed. May wait for it; not to be changed. */
    int[] words();

    /** Just these ids, each below {@code vocabulary}. */
    static TokenMask of(Iterable<Integer> ids, int vocabulary) {
        int[] words = new int[(vocabulary + 31) / 32];
        for (int id : ids) {
            words[id >> 5] |= 1 << id;
        }
        return () -> words;
    }

    /** What both allow, computed when it is asked for. */
    default TokenMask and(TokenMask other) {
        return () -> {
            int[] words = words().clone();
            int[] more = other.words();
            for (int i = 0; i < words.length; i++) {
                words[i] &= more[i];
            }
            return words;
        };
    }
}
