package io.millrace.bench.chaos;

import org.jspecify.annotations.Nullable;

/**
 * What a client got, when its stream is over.
 *
 * @param id of the answer, empty when none was seen
 * @param usage tokens that the server says it made; -1 when it did not say
 * @param error why it did not get a whole answer; null when it did
 * @param connections that it took, the first included
 * @param eventNanos when it began, when each event with text came, and when it ended, by {@link System#nanoTime}
 */
record StreamResult(
        Ask ask,
        String id,
        String text,
        String finish,
        int usage,
        @Nullable String error,
        int connections,
        long[] eventNanos) {

    /** The longest time without anything new between those times, or around them; -1 when it had no text yet: then it waited for its turn. */
    long stallNanos(long from, long to) {
        long longest = -1;
        for (int i = 2; i < eventNanos.length; i++) {
            if (eventNanos[i] - from > 0 && eventNanos[i - 1] - to < 0) {
                longest = Math.max(longest, eventNanos[i] - eventNanos[i - 1]);
            }
        }
        return longest;
    }
}
