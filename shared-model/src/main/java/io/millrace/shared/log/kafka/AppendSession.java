package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;

/**
 * One life of one producer, from its first append to the first that fails.
 *
 * <p>Kafka's idempotent producer keeps the order within a partition as long as nothing fails. When a batch expires, though, it
 * takes a new epoch and sends the batches behind it: they would overtake. So the first failure <em>breaks</em> the session:
 * its producer is closed without sending anything more, everything appended to it fails, and a new session begins only
 * when every one of its futures is completed. A later append therefore lands only if its caller could know of the failure.
 *
 * <p>Thread-safe. {@link #send} is called by one thread.
 */
final class AppendSession {

    private static final Logger LOG = LoggerFactory.getLogger(AppendSession.class);

    private final Producer<String, byte[]> producer;
    private final AtomicInteger pending = new AtomicInteger();
    private volatile boolean broken;
    private volatile boolean closing;

    AppendSession(Map<String, Object> properties) {
        this.producer = new RawFactory(properties).raw();
    }

    /** Counts an append in; refused (false) once the session is broken. */
    boolean enter() {
        pending.incrementAndGet();
        if (broken) {
            pending.decrementAndGet();
            return false;
        }
        return true;
    }

    /** Undoes {@link #enter} for an append that is not sent. */
    void leave() {
        pending.decrementAndGet();
    }

    boolean isBroken() {
        return broken;
    }

    /** Broken, and every append that entered is completed. */
    boolean isOver() {
        return broken && pending.get() == 0;
    }

    /** Hands the record to Kafka; the future completes on the producer's thread. Blocks while metadata or memory is wanting. */
    void send(ProducerRecord<String, byte[]> record, CompletableFuture<Long> future) {
        if (broken) {
            settle(future, 0, new MillraceException("MR-LOG-005", "not sent: an earlier append failed"));
            return;
        }
        try {
            producer.send(record, (metadata, error) -> {
                if (error != null) {
                    breakUp(error);
                }
                settle(future, error == null ? metadata.offset() : 0, error);
            });
        } catch (RuntimeException e) {
            // KafkaProducer reports a failure through the callback or by throwing, never both.
            breakUp(e);
            settle(future, 0, e);
        }
    }

    private void settle(CompletableFuture<Long> future, long offset, @Nullable Exception error) {
        try {
            if (error == null) {
                future.complete(offset);
            } else {
                future.completeExceptionally(
                        error instanceof MillraceException
                                ? error
                                : new MillraceException(
                                        "MR-LOG-005", "Kafka did not confirm an append: " + error.getMessage(), error));
            }
        } finally {
            pending.decrementAndGet();
        }
    }

    private void breakUp(Exception error) {
        synchronized (this) {
            if (broken) {
                return;
            }
            broken = true;
        }
        if (!closing) {
            LOG.warn("an append failed, {} more with it: {}", Math.max(0, pending.get() - 1), error.toString());
        }
        // On the producer's own thread Kafka takes this as "abort, do not wait"; elsewhere it does not wait either.
        producer.close(Duration.ZERO);
    }

    /** Waits that long for what is under way, then gives up the rest. */
    void close(Duration timeout) {
        closing = true;
        producer.close(timeout);
    }

    /** spring-kafka's factory, for a producer that this session alone closes. */
    private static final class RawFactory extends DefaultKafkaProducerFactory<String, byte[]> {

        RawFactory(Map<String, Object> properties) {
            super(properties);
        }

        Producer<String, byte[]> raw() {
            return createRawProducer(getConfigurationProperties());
        }
    }
}
