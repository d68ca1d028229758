package io.millrace.shared.log.kafka;

import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.WakeupException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;

/**
 * One consumer, one thread, any set of partitions by {@code assign}: no group, no commits.
 *
 * <p>{@link LogReader#END} is found a moment after {@link #assign} returns: whoever must not miss a record waits for the
 * partition's first {@code onCaughtUp}. An exception or error of the listener is logged and the next record delivered.
 */
final class KafkaLogReader implements LogReader {

    private static final Logger LOG = LoggerFactory.getLogger(KafkaLogReader.class);
    private static final long TICK_NANOS = 25_000_000;
    /** Where no timer is punctual: an empty poll costs as much as one with records. */
    private static final long RARE_TICK_NANOS = 250_000_000;

    private static final long RETRY_MS = 500;

    private record Place(Topic topic, int partition) {}

    /** Written by the reader's thread. */
    private volatile long lag;

    private final KafkaSettings settings;
    private final String name;
    private final Listener listener;
    private final Consumer<KafkaLogReader> onClose;
    private final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
    /** What needs a consumer and was asked for before there was one; reader's thread only. */
    private final List<Consumer<org.apache.kafka.clients.consumer.Consumer<String, byte[]>>> untilConnected =
            new ArrayList<>();

    private final Supplier<org.apache.kafka.clients.consumer.Consumer<String, byte[]>> consumers;
    private final Thread thread;
    private final OutageLog outage;
    /** Partitions read, by Kafka's name for them; reader's thread only. */
    private final Map<TopicPartition, Place> places = new HashMap<>();
    /** Those that have not been reported as caught up since they were assigned. */
    private final Set<TopicPartition> behind = new HashSet<>();
    /** Of those that are behind: the end, asked for after they were assigned. */
    private final Map<TopicPartition, Long> ends = new HashMap<>();

    private volatile boolean closed;
    /** The thread is, or is about to be, inside a poll; then a new task needs a wake-up. */
    private volatile boolean polling;

    private volatile org.apache.kafka.clients.consumer.@Nullable Consumer<String, byte[]> consumer;
    private long tickNanos;

    KafkaLogReader(KafkaSettings settings, String name, Listener listener, Consumer<KafkaLogReader> onClose) {
        this(
                settings,
                name,
                listener,
                onClose,
                () -> new DefaultKafkaConsumerFactory<String, byte[]>(settings.consumer(name, listener.isSettled()))
                        .createConsumer());
    }

    /** @param consumers makes the consumer, or throws KafkaException while it cannot */
    KafkaLogReader(
            KafkaSettings settings,
            String name,
            Listener listener,
            Consumer<KafkaLogReader> onClose,
            Supplier<org.apache.kafka.clients.consumer.Consumer<String, byte[]>> consumers) {
        this.settings = settings;
        this.consumers = consumers;
        this.name = name;
        this.listener = listener;
        this.onClose = onClose;
        this.outage = new OutageLog(name, settings.bootstrapServers());
        this.thread = Thread.ofPlatform()
                .name(settings.clientId() + "-read-" + name)
                .daemon()
                .unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    @Override
    public void assign(Topic topic, int partition, long fromOffset) {
        execute(() -> withConsumer(reading -> {
            var key = new TopicPartition(settings.name(topic), partition);
            places.put(key, new Place(topic, partition));
            behind.add(key);
            ends.remove(key);
            reading.assign(places.keySet());
            if (fromOffset == BEGINNING) {
                reading.seekToBeginning(List.of(key));
            } else if (fromOffset == END) {
                reading.seekToEnd(List.of(key));
            } else {
                reading.seek(key, fromOffset);
            }
        }));
    }

    @Override
    public void unassign(Topic topic, int partition) {
        execute(() -> withConsumer(reading -> {
            var key = new TopicPartition(settings.name(topic), partition);
            if (places.remove(key) != null) {
                behind.remove(key);
                ends.remove(key);
                reading.assign(places.keySet());
            }
        }));
    }

    /** Now, or as soon as there is a consumer. */
    private void withConsumer(Consumer<org.apache.kafka.clients.consumer.Consumer<String, byte[]>> task) {
        var reading = consumer;
        if (reading == null) {
            untilConnected.add(task);
        } else {
            task.accept(reading);
        }
    }

    @Override
    public void execute(Runnable task) {
        executeLater(task);
        wake();
    }

    @Override
    public void executeLater(Runnable task) {
        if (closed) {
            throw new RejectedExecutionException("reader " + name + " is closed");
        }
        tasks.add(task);
    }

    private void wake() {
        var reading = consumer;
        if (polling && reading != null && Thread.currentThread() != thread) {
            reading.wakeup();
            LockSupport.unpark(thread);
        }
    }

    @Override
    public void close() {
        closed = true;
        var reading = consumer;
        if (reading != null) {
            reading.wakeup();
        }
        if (Thread.currentThread() != thread) {
            thread.interrupt();
            boolean interrupted = false;
            while (true) {
                try {
                    thread.join();
                    break;
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void run() {
        try {
            connect();
            while (!closed) {
                try {
                    round();
                } catch (WakeupException e) {
                    // A task waits, or we are closed.
                } catch (InterruptException e) {
                    // close() interrupts; anything else goes on.
                    if (Thread.interrupted() && !closed) {
                        LOG.debug("reader {} was interrupted", name);
                    }
                } catch (KafkaException e) {
                    outage.failed(e);
                    pause();
                } catch (RuntimeException e) {
                    LOG.error("reader {} failed; trying on", name, e);
                    pause();
                }
            }
        } catch (InterruptedException e) {
            LOG.debug("reader {} closed before Kafka was there", name);
        } finally {
            onClose.accept(this);
            disconnect();
        }
    }

    /** Makes the consumer; an address that does not resolve yet is tried again, while tasks and ticks go on. */
    private void connect() throws InterruptedException {
        while (consumer == null && !closed) {
            try {
                consumer = consumers.get();
            } catch (KafkaException e) {
                outage.failed(e);
                long retryNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(RETRY_MS);
                while (System.nanoTime() < retryNanos && !closed) {
                    runTasks();
                    guard(listener::onTick);
                    TimeUnit.NANOSECONDS.sleep(TICK_NANOS);
                }
            }
        }
        var reading = consumer;
        if (reading != null) {
            untilConnected.forEach(task -> guard(() -> task.accept(reading)));
            untilConnected.clear();
        }
    }

    private void disconnect() {
        var reading = consumer;
        Thread.interrupted();
        if (reading != null) {
            try {
                reading.close(org.apache.kafka.clients.consumer.CloseOptions.timeout(Duration.ZERO));
            } catch (KafkaException e) {
                LOG.debug("closing reader {}: {}", name, e.toString());
            }
        }
    }

    private void pause() {
        try {
            Thread.sleep(RETRY_MS);
        } catch (InterruptedException e) {
            LOG.debug("reader {} is woken to close", name);
        }
    }

    private void round() {
        var reading = consumer;
        if (reading == null) {
            return;
        }
        runTasks();
        long every = listener.isPunctual() || !behind.isEmpty() ? TICK_NANOS : RARE_TICK_NANOS;
        long wait = Math.max(0, every - (System.nanoTime() - tickNanos));
        ConsumerRecords<String, byte[]> records = poll(reading, wait);
        for (TopicPartition key : records.partitions()) {
            deliver(key, records.records(key));
        }
        boolean tick = System.nanoTime() - tickNanos >= every;
        if (!closed && (tick || !records.isEmpty())) {
            // First of all: what listeners have gathered goes out here.
            guard(listener::onTick);
        }
        reportCaughtUp(reading, records, tick);
        if (tick) {
            tickNanos = System.nanoTime();
            outage.check(reading, places.isEmpty());
        }
    }

    private void runTasks() {
        for (Runnable task = tasks.poll(); task != null && !closed; task = tasks.poll()) {
            guard(task);
        }
    }

    private ConsumerRecords<String, byte[]> poll(
            org.apache.kafka.clients.consumer.Consumer<String, byte[]> reading, long waitNanos) {
        polling = true;
        try {
            if (places.isEmpty()) {
                // Kafka refuses to poll without partitions.
                if (tasks.isEmpty() && !closed) {
                    LockSupport.parkNanos(this, waitNanos);
                }
                return ConsumerRecords.empty();
            }
            return reading.poll(tasks.isEmpty() ? Duration.ofNanos(waitNanos) : Duration.ZERO);
        } catch (OffsetOutOfRangeException e) {
            restart(reading, e.offsetOutOfRangePartitions());
            return ConsumerRecords.empty();
        } finally {
            polling = false;
        }
    }

    private void deliver(TopicPartition key, List<ConsumerRecord<String, byte[]>> records) {
        Place place = places.get(key);
        if (place == null) {
            return;
        }
        for (ConsumerRecord<String, byte[]> each : records) {
            if (closed || places.get(key) != place) {
                return;
            }
            String text = each.key() == null ? "" : each.key();
            var out = new LogRecord(
                    place.topic(), place.partition(), each.offset(), each.timestamp(), text, each.value());
            guard(() -> listener.onRecord(out));
        }
    }

    private void restart(
            org.apache.kafka.clients.consumer.Consumer<String, byte[]> reading, Map<TopicPartition, Long> wanted) {
        Map<TopicPartition, Long> first = new HashMap<>();
        while (first.isEmpty()) {
            try {
                first.putAll(reading.beginningOffsets(wanted.keySet()));
            } catch (WakeupException e) {
                if (closed) {
                    throw e;
                }
            }
        }
        first.forEach((key, offset) -> {
            Place place = places.get(key);
            if (place != null) {
                long asked = wanted.getOrDefault(key, offset);
                reading.seek(key, offset);
                LOG.warn("reader {}: {} has no offset {} any more, going on at {}", name, key, asked, offset);
                guard(() -> listener.onTruncated(place.topic(), place.partition(), asked, offset));
            }
        });
    }

    @Override
    public long lag() {
        return lag;
    }

    private void reportCaughtUp(
            org.apache.kafka.clients.consumer.Consumer<String, byte[]> reading,
            ConsumerRecords<String, byte[]> records,
            boolean all) {
        if (!all && records.isEmpty() && behind.isEmpty()) {
            return;
        }
        if (all) {
            lag = places.keySet().stream()
                    .mapToLong(key -> Math.max(0, reading.currentLag(key).orElse(0)))
                    .sum();
        }
        for (TopicPartition key : List.copyOf(places.keySet())) {
            if (!all && !behind.contains(key) && records.records(key).isEmpty()) {
                continue;
            }
            OptionalLong lag = reading.currentLag(key);
            Place place = places.get(key);
            if (place == null || lag.isEmpty() || lag.getAsLong() > 0) {
                continue;
            }
            long position = reading.position(key, Duration.ofMillis(RETRY_MS));
            if (behind.contains(key)) {
                if (position < end(reading, key)) {
                    continue;
                }
                behind.remove(key);
                ends.remove(key);
            }
            guard(() -> listener.onCaughtUp(place.topic(), place.partition(), position));
        }
    }

    /**
     * The partition's end, as it was after it was assigned. The consumer's own lag may come from an answer to a question of an
     * earlier assignment, before records that whoever assigned it now knows to be there.
     */
    private long end(org.apache.kafka.clients.consumer.Consumer<String, byte[]> reading, TopicPartition key) {
        Long known = ends.get(key);
        if (known == null) {
            known = reading.endOffsets(List.of(key), Duration.ofMillis(RETRY_MS))
                    .getOrDefault(key, 0L);
            ends.put(key, known);
        }
        return known;
    }

    @SuppressWarnings("CatchingUnchecked")
    private void guard(Runnable call) {
        if (closed) {
            return;
        }
        try {
            call.run();
        } catch (WakeupException | InterruptException e) {
            throw e;
        } catch (RuntimeException | Error e) {
            // An error that ended this thread would leave everybody who waits for it waiting for ever.
            LOG.error("reader {}: its listener failed; going on with the next record", name, e);
        }
    }
}
