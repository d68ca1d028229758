package io.millrace.bench.chaos;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** What the log says of one request, and when it said so, by the brokers' clocks. Thread-safe. */
final class Tale {

    private final String id;
    private final String gateway;
    private final long submittedMs;
    private final int tokensMax;
    private long admittedMs = Long.MAX_VALUE;
    private long endedMs = Long.MAX_VALUE;
    private String worker = "";
    private int attempts;
    /** Pairs: time of a claim or of accepted tokens; and -1 for a claim, or the count of accepted tokens. */
    private long[] marks = new long[32];

    private int used;

    Tale(String id, String gateway, long submittedMs, int tokensMax) {
        this.id = id;
        this.gateway = gateway;
        this.submittedMs = submittedMs;
        this.tokensMax = tokensMax;
    }

    String id() {
        return id;
    }

    /** The one that submitted it. */
    String gateway() {
        return gateway;
    }

    synchronized void admitted(long ms) {
        admittedMs = Math.min(admittedMs, ms);
    }

    synchronized void claimed(long ms, int attempt, String byWorker) {
        attempts = attempt;
        worker = byWorker;
        mark(ms, -1);
    }

    synchronized void accepted(long ms, int count) {
        mark(ms, count);
    }

    synchronized void ended(long ms) {
        endedMs = Math.min(endedMs, ms);
    }

    private void mark(long ms, long what) {
        if (used + 2 > marks.length) {
            marks = Arrays.copyOf(marks, 2 * marks.length);
        }
        marks[used++] = ms;
        marks[used++] = what;
    }

    /** Who has the current attempt; empty before the first. */
    synchronized String worker() {
        return worker;
    }

    synchronized int attempts() {
        return attempts;
    }

    synchronized boolean hasEnded() {
        return endedMs != Long.MAX_VALUE;
    }

    /** Where it was at that time; null when it had ended. */
    synchronized @Nullable Phase phaseAt(long ms) {
        if (endedMs <= ms) {
            return null;
        }
        if (submittedMs > ms || admittedMs > ms) {
            return Phase.BEFORE_ADMISSION;
        }
        int claims = 0;
        long count = 0;
        boolean fresh = false;
        for (int i = 0; i < used && marks[i] <= ms; i += 2) {
            fresh = marks[i + 1] < 0;
            claims += fresh ? 1 : 0;
            count = fresh ? count : marks[i + 1];
        }
        if (claims == 0) {
            return Phase.QUEUED;
        }
        if (fresh) {
            return claims == 1 ? Phase.PREFILL : Phase.RESUMING;
        }
        return 5 * count >= 4L * tokensMax ? Phase.NEAR_END : Phase.DECODING;
    }
}
