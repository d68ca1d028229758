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
 */
record StreamTimes(boolean ok, String error, long firstNanos, long[] gapNanos, long totalNanos, int tokens) {

    static StreamTimes failed(String why, long totalNanos) {
        return new StreamTimes(false, why, 0, new long[0], totalNanos, 0);
    }
}
