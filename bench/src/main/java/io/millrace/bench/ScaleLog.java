package io.millrace.bench;

import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The log of the simulated deployment: offsets, the records of the turn before (fresh) and of this one, and a count of all. Reading what is
 * fresh is thread-safe, nothing else is.
 */
final class ScaleLog {

    /** Records of a kind, and the bytes of their keys and values. */
    static final class Count {
        long records;
        long bytes;

        private void add(int size) {
            records++;
            bytes += size;
        }
    }

    private record Part(Topic topic, int partition) {}

    private final Map<Part, Long> next = new HashMap<>();
    private Map<Part, List<LogRecord>> fresh = new HashMap<>();
    private Map<Part, List<LogRecord>> written = new HashMap<>();
    private final Map<Topic, Count> counts = new EnumMap<>(Topic.class);
    private final Count tokens = new Count();
    private final int keyBytes;

    /** @param keyBytes of each record's key; the same for all, as in the paper */
    ScaleLog(int keyBytes) {
        this.keyBytes = keyBytes;
        forgetCounts();
    }

    /** Appends; returns the offset. */
    long append(Topic topic, int partition, String key, byte @Nullable [] value, boolean token, long nowMs) {
        Part part = new Part(topic, partition);
        long offset = next.merge(part, 1L, Long::sum) - 1;
        written.computeIfAbsent(part, p -> new ArrayList<>())
                .add(new LogRecord(topic, partition, offset, nowMs, key, value));
        (token ? tokens : count(topic)).add(keyBytes + (value == null ? 0 : value.length));
        return offset;
    }

    /** Ends the turn: what was written is fresh now. */
    void turn() {
        fresh = written;
        written = new HashMap<>();
    }

    List<LogRecord> fresh(Topic topic, int partition) {
        return fresh.getOrDefault(new Part(topic, partition), List.of());
    }

    long next(Topic topic, int partition) {
        return next.getOrDefault(new Part(topic, partition), 0L);
    }

    Count count(Topic topic) {
        return counts.computeIfAbsent(topic, t -> new Count());
    }

    /** Records of tokens, which their topic's count leaves out. */
    Count tokens() {
        return tokens;
    }

    void forgetCounts() {
        counts.clear();
        tokens.records = 0;
        tokens.bytes = 0;
    }
}
