package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The log on Kafka.
 *
 * <p>An append goes to Kafka on its caller's thread, which saves the way over another one; where Kafka would make it wait for metadata or
 * buffer memory, it goes into a queue of at most {@value #QUEUE_MAX} records, and what comes later behind it, until one thread has
 * worked that off. So no caller ever waits. Order and failure are {@link AppendSession}'s: after a failed append those behind it fail too. Futures complete on
 * Kafka's thread: what depends on them must not block. Errors: {@code MR-LOG-005} not confirmed (it may or may not stand in the
 * log), {@code MR-LOG-006} larger than 10 MiB, {@code MR-LOG-007} queue full, {@code MR-LOG-008} closed, {@code MR-LOG-010} no such
 * partition.
 *
 * <p>Kafka may come late or go away for a while: appends wait up to the delivery timeout, readers for ever, both saying so in
 * the application's log.
 */
public final class KafkaLog implements Log {

    private static final Logger LOG = LoggerFactory.getLogger(KafkaLog.class);
    private static final int QUEUE_MAX = 65_536;
    /** Room for key, headers and framing within the largest record. */
    private static final int VALUE_BYTES_MAX = KafkaSettings.RECORD_BYTES_MAX - 4_096;

    private static final long RETRY_MS = 10;

    private record Append(
            AppendSession session,
            ProducerRecord<String, byte[]> record,
            CompletableFuture<Long> future,
            long enteredNanos) {}

    private final KafkaSettings settings;
    private final LinkedBlockingQueue<Append> queue = new LinkedBlockingQueue<>(QUEUE_MAX);
    private final Set<KafkaLogReader> readers = ConcurrentHashMap.newKeySet();
    private final AtomicInteger sessions = new AtomicInteger();
    private final Thread sender;
    /** Guards {@link #session}, {@link #waiting} and the order of appends. */
    private final Object lock = new Object();

    private @Nullable AppendSession session;
    /** Appends in the queue or in its thread's hands. */
    private int waiting;
    /** Counts as far as they are known; replaced as a whole. */
    private volatile Map<Topic, Integer> partitions = Map.of();

    private volatile boolean closed;

    public KafkaLog(KafkaSettings settings) {
        this.settings = settings;
        this.sender = Thread.ofPlatform()
                .name(settings.clientId() + "-append")
                .daemon()
                .unstarted(this::sendAll);
        synchronized (lock) {
            openSession();
        }
        sender.start();
    }

    public KafkaSettings settings() {
        return settings;
    }

    @Override
    public CompletableFuture<Long> append(
            Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace) {
        if (value != null && value.length > VALUE_BYTES_MAX) {
            return failed(
                    "MR-LOG-006",
                    "a record of %,d bytes for %s is over the limit of %,d"
                            .formatted(value.length, topic.baseName(), VALUE_BYTES_MAX));
        }
        Integer count = partitions.get(topic);
        if (partition < 0 || (count != null && partition >= count)) {
            // Kafka would wait for such a partition to appear, and everything else behind it.
            return failed(
                    "MR-LOG-010",
                    "%s has no partition %d, but 0 to %s"
                            .formatted(topic.baseName(), partition, count == null ? "?" : count - 1));
        }
        var record = new ProducerRecord<String, byte[]>(settings.name(topic), partition, key, value);
        trace(record.headers(), trace);
        AppendSession current;
        CompletableFuture<Long> future;
        synchronized (lock) {
            if (closed) {
                return failed("MR-LOG-008", "the log is closed");
            }
            current = openSession();
            if (current == null || !current.enter()) {
                return failed("MR-LOG-005", "not sent: an earlier append has just failed; try again");
            }
            future = new CompletableFuture<>();
            AppendSession.Offer offer = waiting == 0 ? current.offer(record, future) : AppendSession.Offer.BUSY;
            if (offer == AppendSession.Offer.BUSY) {
                if (!queue.offer(new Append(current, record, future, System.nanoTime()))) {
                    current.leave();
                    return failed("MR-LOG-007", "%,d appends wait for Kafka already".formatted(QUEUE_MAX));
                }
                waiting++;
            }
            if (offer != AppendSession.Offer.FAILED) {
                return future;
            }
        }
        current.fail(future);
        return future;
    }

    /** The headers by which others' instrumentation goes on with the trace (https://www.w3.org/TR/trace-context/). */
    private static void trace(Headers headers, TraceContext trace) {
        if (!trace.getTraceparentBytes().isEmpty()) {
            headers.add("traceparent", trace.getTraceparentBytes().toByteArray());
            if (!trace.getTracestateBytes().isEmpty()) {
                headers.add("tracestate", trace.getTracestateBytes().toByteArray());
            }
        }
    }

    /** The session to append to; null while a broken one is not over yet. */
    private @Nullable AppendSession openSession() {
        if (session != null && session.isOver()) {
            session = null;
        }
        if (session == null) {
            try {
                session = new AppendSession(settings.producer("append-" + sessions.getAndIncrement()));
            } catch (RuntimeException e) {
                // An address that does not resolve (yet).
                LOG.warn("no producer for Kafka at {}: {}", settings.bootstrapServers(), rootMessage(e));
                return null;
            }
        }
        return session.isBroken() ? null : session;
    }

    private static CompletableFuture<Long> failed(String code, String message) {
        return CompletableFuture.failedFuture(new MillraceException(code, message));
    }

    private void sendAll() {
        while (true) {
            try {
                Append next = queue.poll(100, TimeUnit.MILLISECONDS);
                if (next != null) {
                    send(next);
                } else if (closed) {
                    return;
                }
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    /** Sends what waits, as soon as Kafka takes it; fails it when that lasts longer than an append may. */
    private void send(Append append) throws InterruptedException {
        long patienceNanos = settings.deliveryTimeout().toNanos();
        boolean sent = false;
        try {
            AppendSession.Offer offer = append.session().offer(append.record(), append.future());
            while (offer == AppendSession.Offer.BUSY && System.nanoTime() - append.enteredNanos() < patienceNanos) {
                TimeUnit.MILLISECONDS.sleep(RETRY_MS);
                offer = append.session().offer(append.record(), append.future());
            }
            sent = offer == AppendSession.Offer.TAKEN;
        } finally {
            if (!sent) {
                append.session().fail(append.future());
            }
            synchronized (lock) {
                waiting--;
            }
        }
    }

    @Override
    public int partitions(Topic topic) {
        Integer known = partitions.get(topic);
        if (known == null) {
            partitions = Map.copyOf(new TopicAdmin(settings).partitionCounts(settings.deliveryTimeout()));
            known = partitions.get(topic);
        }
        if (known == null) {
            throw new MillraceException(
                    "MR-LOG-004", "topic " + settings.name(topic) + " does not exist; create it first");
        }
        return known;
    }

    @Override
    public LogReader reader(String name, LogReader.Listener listener) {
        if (closed) {
            throw new MillraceException("MR-LOG-008", "the log is closed");
        }
        var reader = new KafkaLogReader(settings, name, listener, readers::remove);
        readers.add(reader);
        reader.start();
        return reader;
    }

    /** Sends what waits, for at most 5 s; then closes the readers. */
    @Override
    public void close() {
        AppendSession last;
        synchronized (lock) {
            if (closed) {
                return;
            }
            closed = true;
            last = session;
        }
        try {
            sender.join(Duration.ofSeconds(5));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (last != null) {
            last.close(Duration.ofSeconds(5));
        }
        sender.interrupt();
        for (Append left = queue.poll(); left != null; left = queue.poll()) {
            left.future().completeExceptionally(new MillraceException("MR-LOG-008", "the log is closed"));
        }
        for (KafkaLogReader reader : Set.copyOf(readers)) {
            reader.close();
        }
    }

    /** The innermost cause's message: Kafka wraps the useful one. */
    static String rootMessage(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return String.valueOf(root.getMessage());
    }
}
