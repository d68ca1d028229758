package io.millrace.worker.text;

import java.util.ArrayList;
import java.util.List;

/**
 * Finds the first of several strings in text that comes in pieces, and says how much of the end of the text may still become one
 * (Knuth, Morris, Pratt: one automaton for each string). Not thread-safe.
 */
final class StopMatcher {

    private final List<String> stops;
    /** For each stop, at i: the longest proper border of its first i characters. */
    private final List<int[]> borders = new ArrayList<>();

    private final int[] state;

    /** Empty strings are left out; a lone surrogate stands for U+FFFD, as it does in the text. */
    StopMatcher(List<String> stops) {
        this.stops = stops.stream()
                .filter(stop -> !stop.isEmpty())
                .map(Utf16::wellFormed)
                .distinct()
                .toList();
        for (String stop : this.stops) {
            borders.add(borders(stop));
        }
        this.state = new int[this.stops.size()];
    }

    private static int[] borders(String stop) {
        int[] border = new int[stop.length() + 1];
        border[0] = -1;
        int k = -1;
        for (int i = 0; i < stop.length(); i++) {
            while (k >= 0 && stop.charAt(k) != stop.charAt(i)) {
                k = border[k];
            }
            border[i + 1] = ++k;
        }
        return border;
    }

    boolean isEmpty() {
        return stops.isEmpty();
    }

    /** Takes the next character; the index of the stop that it ends (the longest, if several), or -1. */
    int accept(char c) {
        int best = -1;
        for (int s = 0; s < state.length; s++) {
            String stop = stops.get(s);
            int[] border = borders.get(s);
            int k = state[s];
            while (k >= 0 && stop.charAt(k) != c) {
                k = border[k];
            }
            k++;
            if (k == stop.length()) {
                if (best < 0 || k > stops.get(best).length()) {
                    best = s;
                }
                k = border[k];
            }
            state[s] = k;
        }
        return best;
    }

    /** Characters at the end of the text that may be the beginning of a stop. */
    int pending() {
        int most = 0;
        for (int k : state) {
            most = Math.max(most, k);
        }
        return most;
    }

    String stop(int index) {
        return stops.get(index);
    }
}
