package io.millrace.bench.chaos;

/** How much is asked at a time. */
enum LoadLevel {
    IDLE(0.25),
    MEDIUM(0.7),
    SATURATED(1.6);

    private final double share;

    LoadLevel(double share) {
        this.share = share;
    }

    /** Streams kept open. */
    int streams(int capacity) {
        return Math.max(2, (int) Math.round(share * capacity));
    }

    String words() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }
}
