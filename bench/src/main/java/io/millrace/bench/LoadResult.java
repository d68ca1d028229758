package io.millrace.bench;

import java.util.Map;
import java.util.TreeMap;
import org.HdrHistogram.Histogram;

/** Times of many answers, gathered. Thread-safe. */
final class LoadResult {

    private static final long NANOS_MAX = 600_000_000_000L;

    private final Histogram first = new Histogram(NANOS_MAX, 3);
    private final Histogram gap = new Histogram(NANOS_MAX, 3);
    private final Histogram total = new Histogram(NANOS_MAX, 3);
    private final Map<String, Integer> errors = new TreeMap<>();
    private final long firstLimitNanos;
    private final long gapLimitNanos;
    private int ok;
    private int good;
    private long tokens;
    private long promptTokens;
    private long cachedTokens;

    /**
     * Empty.
     *
     * @param firstLimitMs an answer is good when its first token came within this, and
     * @param gapLimitMs its mean time between tokens is within this
     */
    LoadResult(long firstLimitMs, long gapLimitMs) {
        this.firstLimitNanos = firstLimitMs * 1_000_000;
        this.gapLimitNanos = gapLimitMs * 1_000_000;
    }

    synchronized void add(StreamTimes times) {
        if (!times.ok()) {
            errors.merge(times.error(), 1, Integer::sum);
            return;
        }
        ok++;
        tokens += times.tokens();
        promptTokens += times.promptTokens();
        cachedTokens += times.cachedTokens();
        first.recordValue(Math.min(NANOS_MAX, times.firstNanos()));
        total.recordValue(Math.min(NANOS_MAX, times.totalNanos()));
        for (long each : times.gapNanos()) {
            gap.recordValue(Math.min(NANOS_MAX, Math.max(0, each)));
        }
        long decode = times.totalNanos() - times.firstNanos();
        if (times.firstNanos() <= firstLimitNanos && decode <= gapLimitNanos * Math.max(1, times.tokens() - 1L)) {
            good++;
        }
    }

    /** Takes what another has gathered, which must be over. */
    synchronized void add(LoadResult other) {
        first.add(other.first);
        gap.add(other.gap);
        total.add(other.total);
        other.errors.forEach((error, count) -> errors.merge(error, count, Integer::sum));
        ok += other.ok;
        good += other.good;
        tokens += other.tokens;
        promptTokens += other.promptTokens;
        cachedTokens += other.cachedTokens;
    }

    synchronized int ok() {
        return ok;
    }

    synchronized int failed() {
        return errors.values().stream().mapToInt(Integer::intValue).sum();
    }

    synchronized Map<String, Integer> errors() {
        return new TreeMap<>(errors);
    }

    synchronized int good() {
        return good;
    }

    synchronized long tokens() {
        return tokens;
    }

    /** Mean tokens of a prompt, as the server counted them. */
    synchronized double promptTokens() {
        return ok == 0 ? 0 : promptTokens / (double) ok;
    }

    /** Of them, those that the server had in its cache. */
    synchronized double cachedTokens() {
        return ok == 0 ? 0 : cachedTokens / (double) ok;
    }

    /** Milliseconds to the first token at that percentile. */
    synchronized double firstMs(double percentile) {
        return first.getValueAtPercentile(percentile) / 1e6;
    }

    /** Milliseconds between tokens at that percentile. */
    synchronized double gapMs(double percentile) {
        return gap.getValueAtPercentile(percentile) / 1e6;
    }

    /** Milliseconds of a whole answer at that percentile. */
    synchronized double totalMs(double percentile) {
        return total.getValueAtPercentile(percentile) / 1e6;
    }
}
