package io.millrace.standalone.parts;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A log that measures what its part waits for: appends until they are confirmed, and records until they arrive. Thread-safe. */
final class MeteredLog implements Log {

    private static final Duration[] STEPS = Stream.of(1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
            .map(Duration::ofMillis)
            .toArray(Duration[]::new);

    private final Log log;
    private final Map<Topic, Timer> appends = new EnumMap<>(Topic.class);
    private final Map<Topic, Counter> bytes = new EnumMap<>(Topic.class);
    private final Map<Topic, Counter> failures = new EnumMap<>(Topic.class);
    private final Map<Topic, Timer> deliveries = new EnumMap<>(Topic.class);
    private final Set<LogReader> readers = ConcurrentHashMap.newKeySet();

    /** @param part whose log it is, as in the metrics' label */
    MeteredLog(Log log, MeterRegistry registry, String part) {
        this.log = log;
        for (Topic topic : Topic.values()) {
            Tags tags = Tags.of("part", part, "topic", topic.baseName());
            appends.put(
                    topic,
                    timer(registry, tags, "millrace.log.append", "From an append to Kafka's confirmation of it"));
            bytes.put(topic, counter(registry, tags, "millrace.log.append.bytes", "Bytes of appended values"));
            failures.put(
                    topic, counter(registry, tags, "millrace.log.append.errors", "Appends that were not confirmed"));
            deliveries.put(
                    topic,
                    timer(
                            registry,
                            tags,
                            "millrace.log.delivery",
                            "From the broker's time of a record to its arrival here: the reader's lag in time"));
        }
        Gauge.builder("millrace.log.reader.lag", readers, MeteredLog::lag)
                .description("Records in the partitions that this part reads and that it has not got yet")
                .tags(Tags.of("part", part))
                .register(registry);
    }

    private static double lag(Set<LogReader> readers) {
        return readers.stream().mapToLong(LogReader::lag).sum();
    }

    private static Timer timer(MeterRegistry registry, Tags tags, String name, String description) {
        return Timer.builder(name)
                .description(description)
                .tags(tags)
                .serviceLevelObjectives(STEPS)
                .register(registry);
    }

    private static Counter counter(MeterRegistry registry, Tags tags, String name, String description) {
        return Counter.builder(name).description(description).tags(tags).register(registry);
    }

    @Override
    public CompletableFuture<Long> append(
            Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace) {
        long began = System.nanoTime();
        CompletableFuture<Long> ack = log.append(topic, partition, key, value, trace);
        ack.whenComplete((offset, failure) -> {
            if (failure == null) {
                of(appends, topic).record(System.nanoTime() - began, TimeUnit.NANOSECONDS);
                of(bytes, topic).increment(value == null ? 0 : value.length);
            } else {
                of(failures, topic).increment();
            }
        });
        return ack;
    }

    private static <T> T of(Map<Topic, T> meters, Topic topic) {
        T found = meters.get(topic);
        if (found == null) {
            throw new IllegalStateException("no meter of " + topic);
        }
        return found;
    }

    @Override
    public int partitions(Topic topic) {
        return log.partitions(topic);
    }

    @Override
    public LogReader reader(String name, LogReader.Listener listener) {
        var reader = new MeteredReader(log.reader(name, measuring(listener)));
        readers.add(reader);
        return reader;
    }

    private LogReader.Listener measuring(LogReader.Listener listener) {
        return new LogReader.Listener() {
            @Override
            public void onRecord(LogRecord record) {
                of(deliveries, record.topic())
                        .record(Math.max(0, System.currentTimeMillis() - record.timestampMs()), TimeUnit.MILLISECONDS);
                listener.onRecord(record);
            }

            @Override
            public void onCaughtUp(Topic topic, int partition, long position) {
                listener.onCaughtUp(topic, partition, position);
            }

            @Override
            public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {
                listener.onTruncated(topic, partition, wantedOffset, restartOffset);
            }

            @Override
            public void onTick() {
                listener.onTick();
            }

            @Override
            public boolean isPunctual() {
                return listener.isPunctual();
            }

            @Override
            public boolean isSettled() {
                return listener.isSettled();
            }
        };
    }

    @Override
    public void close() {
        log.close();
    }

    /** Is no longer counted once it is closed. */
    private final class MeteredReader implements LogReader {

        private final LogReader reader;

        private MeteredReader(LogReader reader) {
            this.reader = reader;
        }

        @Override
        public void assign(Topic topic, int partition, long fromOffset) {
            reader.assign(topic, partition, fromOffset);
        }

        @Override
        public void unassign(Topic topic, int partition) {
            reader.unassign(topic, partition);
        }

        @Override
        public void execute(Runnable task) {
            reader.execute(task);
        }

        @Override
        public void executeLater(Runnable task) {
            reader.executeLater(task);
        }

        @Override
        public long lag() {
            return reader.lag();
        }

        @Override
        public void close() {
            readers.remove(this);
            reader.close();
        }
    }
}
