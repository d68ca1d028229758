package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.TimeoutException;
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
 * <p>Thread-safe; {@link #offer} is called by one thread at a time.
 */
final class AppendSession {

    private static final Logger LOG = LoggerFactory.getLogger(AppendSession.class);

    private final Producer<String, byte[]> producer;
    private final AtomicInteger pending = new AtomicInteger();
    private @Nullable Exception cause;
    private boolean ended;
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

    /** What became of an {@link #offer}. */
    enum Offer {
        /** Kafka has it: the future completes on the producer's thread. */
        TAKEN,
        /** Metadata or memory is wanting just now; nothing was sent. */
        BUSY,
        /** It cannot be sent, and the session is broken: {@link #fail} completes the future. */
        FAILED
    }

    /** Hands the record to Kafka, unless that would have to wait. Completes no future itself. */
    Offer offer(ProducerRecord<String, byte[]> record, CompletableFuture<Long> future) {
        if (broken) {
            return Offer.FAILED;
        }
        Thread caller = Thread.currentThread();
        Exception[] refused = new Exception[1];
        try {
            producer.send(record, (metadata, error) -> {
                if (error == null) {
                    settle(future, metadata.offset(), null);
                } else if (Thread.currentThread() == caller) {
                    refused[0] = error;
                } else {
                    breakUp(error);
                    settle(future, 0, error);
                }
            });
        } catch (RuntimeException e) {
            // KafkaProducer reports a failure through the callback or by throwing, never both.
            refused[0] = e;
        }
        if (refused[0] == null) {
            return Offer.TAKEN;
        }
        // A full buffer is a timeout too.
        if (refused[0] instanceof TimeoutException) {
            return Offer.BUSY;
        }
        doBreak(refused[0]);
        return Offer.FAILED;
    }

    /**
     * Ends the session, if it has not ended, and completes the future of an append that was not sent. Not to be called under a lock
     * that callbacks may want: waits for the producer's thread.
     */
    void fail(CompletableFuture<Long> future) {
        Exception refusal = breakUp(new TimeoutException("no metadata or memory in time"));
        settle(future, 0, refusal);
    }

    private void settle(CompletableFuture<Long> future, long offset, @Nullable Exception error) {
        try {
            if (error == null) {
                future.complete(offset);
            } else {
                future.completeExceptionally(new MillraceException(
                        "MR-LOG-005", "Kafka did not confirm an append: " + error.getMessage(), error));
            }
        } finally {
            pending.decrementAndGet();
        }
    }

    /** Remembers the first failure; nothing is sent from then on. */
    private synchronized Exception doBreak(Exception error) {
        if (cause == null) {
            cause = error;
            broken = true;
        }
        return cause;
    }

    /** Breaks the session and ends its producer; gives the first failure. */
    private Exception breakUp(Exception error) {
        Exception first = doBreak(error);
        synchronized (this) {
            if (ended) {
                return first;
            }
            ended = true;
        }
        if (!closing) {
            LOG.warn("an append failed, {} more with it: {}", Math.max(0, pending.get() - 1), first.toString());
        }
        // On the producer's own thread Kafka takes this as "abort, do not wait"; elsewhere it waits for that thread
        // alone.
        producer.close(Duration.ZERO);
        return first;
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
