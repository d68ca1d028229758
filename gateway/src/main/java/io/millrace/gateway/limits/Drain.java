package io.millrace.gateway.limits;

/** What is used of a limit by the minute: it grows with what is charged, and goes back at the limit's pace. Not thread-safe. */
final class Drain {

    private static final double NANOS_PER_MINUTE = 60e9;

    private double used;
    private long atNanos;

    Drain(long nowNanos) {
        atNanos = nowNanos;
    }

    /** What is used now; with a limit of 0 nothing is counted. */
    double used(int perMinute, long nowNanos) {
        used = perMinute == 0 ? 0 : Math.max(0, used - (nowNanos - atNanos) / NANOS_PER_MINUTE * perMinute);
        atNanos = nowNanos;
        return used;
    }

    /** Adds to it; less than nothing gives back. */
    void charge(double amount, int perMinute, long nowNanos) {
        used = perMinute == 0 ? 0 : Math.max(0, used(perMinute, nowNanos) + amount);
    }

    /** It is at least that much. */
    void atLeast(double amount, int perMinute, long nowNanos) {
        used = Math.max(used(perMinute, nowNanos), amount);
    }

    /** Milliseconds until so much has gone back. */
    static long millis(double amount, int perMinute) {
        return amount <= 0 ? 0 : (long) Math.ceil(amount / perMinute * 60_000);
    }
}
