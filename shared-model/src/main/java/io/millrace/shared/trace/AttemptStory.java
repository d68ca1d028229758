package io.millrace.shared.trace;

import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** One attempt as its accepted records tell it. */
final class AttemptStory {

    /** A silence between two records of one choice is a stall from here on, and when it is ten times the usual one. */
    private static final long STALL_MS = 250;

    private static final int STALL_TIMES = 10;
    private static final int STALLS_SHOWN = 3;

    private record Stall(long gapMs, int choice, int afterTokens) {}

    final Claim claim;
    final long claimMs;
    final long claimOffset;
    private final List<Long> gapsMs = new ArrayList<>();
    private final List<Stall> silences = new ArrayList<>();
    private final Map<Integer, Long> lastMs = new HashMap<>();
    private int records;
    private int tokens;
    private int outputs;
    private long firstMs = -1;
    private long lastOutputMs = -1;

    AttemptStory(Claim claim, long claimMs, long claimOffset) {
        this.claim = claim;
        this.claimMs = claimMs;
        this.claimOffset = claimOffset;
    }

    void tokens(Tokens accepted, long atMs) {
        records++;
        tokens += accepted.getIdsCount();
        Long before = lastMs.put(accepted.getChoice(), atMs);
        if (before != null) {
            gapsMs.add(atMs - before);
            silences.add(new Stall(atMs - before, accepted.getChoice(), accepted.getStart()));
        }
        produced(atMs);
    }

    void output(long atMs) {
        outputs++;
        produced(atMs);
    }

    private void produced(long atMs) {
        firstMs = firstMs < 0 ? atMs : firstMs;
        lastOutputMs = atMs;
    }

    boolean produced() {
        return firstMs >= 0;
    }

    /** Time of its first output; of its claim when there was none. */
    long firstMs() {
        return produced() ? firstMs : claimMs;
    }

    /** Time of its last output, or of its claim. */
    long lastMs() {
        return produced() ? lastOutputMs : claimMs;
    }

    /** What its decoding was: counts, rate, gaps, stalls. */
    List<String> notes() {
        List<String> notes = new ArrayList<>();
        if (records > 0) {
            long took = lastOutputMs - firstMs;
            String rate = took > 0 ? ", %.1f tokens/s".formatted((tokens - perChoice()) * 1_000.0 / took) : "";
            notes.add(String.format(
                    Locale.ROOT,
                    "%d tokens in %d records (%.2f a step)%s",
                    tokens,
                    records,
                    (double) tokens / records,
                    rate));
        }
        if (!gapsMs.isEmpty()) {
            long[] sorted = gapsMs.stream().mapToLong(Long::longValue).sorted().toArray();
            notes.add("between records: median %d ms, p99 %d ms, longest %d ms"
                    .formatted(at(sorted, 0.5), at(sorted, 0.99), sorted[sorted.length - 1]));
            long stall = Math.max(STALL_MS, STALL_TIMES * at(sorted, 0.5));
            silences.stream()
                    .filter(each -> each.gapMs() >= stall)
                    .sorted((a, b) -> Long.compare(b.gapMs(), a.gapMs()))
                    .limit(STALLS_SHOWN)
                    .forEach(each -> notes.add("stall of %d ms after token %d of choice %d"
                            .formatted(each.gapMs(), each.afterTokens(), each.choice())));
        }
        if (outputs > 0) {
            notes.add(outputs + " outputs");
        }
        return notes;
    }

    /** Tokens that came with the first record of their choice: no time stands for them. */
    private int perChoice() {
        return Math.min(tokens, lastMs.size());
    }

    private static long at(long[] sorted, double share) {
        return sorted[(int) Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    }
}
