package io.millrace.router.core.membership;

/**
 * Judges silence by the log's own progress: a node is silent when this observer has read its own beats, appended to the same
 * partition long enough after that node's last one. While nobody's beats arrive, the log is stalled and nobody is silent;
 * after a stall everyone gets a fresh interval. Not thread-safe.
 */
public final class LogProgress {

    private final long stallMs;
    private final long silenceMs;
    private long firstMs = Long.MAX_VALUE;
    private long ownMs = Long.MIN_VALUE;
    private long freshMs = Long.MIN_VALUE;
    private long elapsedMs;

    /**
     * @param beatMs period of the beats
     * @param silenceMs silence that makes a node suspected
     */
    public LogProgress(long beatMs, long silenceMs) {
        this.stallMs = beatMs * 2 + beatMs / 2;
        this.silenceMs = silenceMs;
    }

    /** An own beat was read back; its time of append. */
    public void own(long timestampMs) {
        if (ownMs == Long.MIN_VALUE) {
            freshMs = timestampMs;
            firstMs = timestampMs;
        } else if (timestampMs - ownMs > stallMs) {
            freshMs = timestampMs + silenceMs;
        }
        if (ownMs != Long.MIN_VALUE) {
            elapsedMs += Math.clamp(timestampMs - ownMs, 0, stallMs);
        }
        ownMs = Math.max(ownMs, timestampMs);
    }

    /** Whether an own beat has been read at all. */
    public boolean started() {
        return ownMs != Long.MIN_VALUE;
    }

    /** Whether a beat appended then is older than this observer's first, which may not have been read yet. */
    public boolean before(long beatMs) {
        return beatMs < firstMs;
    }

    /** Time of append of the last own beat read. */
    public long ownMs() {
        return ownMs;
    }

    /** Time in which the log moved, since the first own beat: a clock that stands still while the log does. */
    public long elapsedMs() {
        return elapsedMs;
    }

    /** Whether a node whose last beat was appended then is silent. */
    public boolean silent(long lastBeatMs) {
        return started() && ownMs - Math.max(lastBeatMs, freshMs) >= silenceMs;
    }
}
