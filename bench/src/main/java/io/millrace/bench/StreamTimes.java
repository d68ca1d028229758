package io.millrace.bench;

/**
 * What one streamed answer took.
 *
 * @param ok it ended as it should
 * @param error why it did not; empty when ok
 * @param firstNanos from sending to the first token
 * @param gapNanos between two chunks that carried text
 * @param totalNanos from sending to the end
 * @param tokens as the server's usage says; the number of chunks where it says nothing
 * @param promptTokens as the server's usage says, else 0
 * @param cachedTokens of them, those that it had in its cache
 */
record StreamTimes(
        boolean ok,
        String error,
        long firstNanos,
        long[] gapNanos,
        long totalNanos,
        int tokens,
        int promptTokens,
        int cachedTokens) {

    /** Of a prompt that nothing is known of. */
    StreamTimes(boolean ok, String error, long firstNanos, long[] gapNanos, long totalNanos, int tokens) {
        this(ok, error, firstNanos, gapNanos, totalNanos, tokens, 0, 0);
    }

    static StreamTimes failed(String why, long totalNanos) {
        return new StreamTimes(false, why, 0, new long[0], totalNanos, 0);
    }
}
