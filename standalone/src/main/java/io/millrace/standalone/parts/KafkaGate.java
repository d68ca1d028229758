package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.standalone.config.KafkaProperties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * Where the parts of this process wait until Kafka is there with its topics; the first one makes them, and after a
 * failure the next one tries again. Thread-safe.
 */
public final class KafkaGate {

    private final KafkaProperties properties;
    private final CompletableFuture<?> broker;
    private @Nullable CompletableFuture<Void> topics;

    /**
     * A gate before Kafka.
     *
     * @param broker completes when the broker in this process takes clients; completed when there is none
     */
    public KafkaGate(KafkaProperties properties, CompletableFuture<?> broker) {
        this.properties = properties;
        this.broker = broker;
    }

    /** Waits, and returns the settings for a part; the failure of the broker or of the topics is thrown to every part. */
    public KafkaSettings await(String clientId) throws InterruptedException {
        try {
            ready().get();
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            throw cause instanceof MillraceException coded
                    ? coded
                    : new MillraceException("MR-LOG-004", "Kafka cannot be used: " + cause, e);
        }
        return properties.settings(clientId);
    }

    private synchronized CompletableFuture<Void> ready() {
        CompletableFuture<Void> current = topics;
        boolean failed = current != null && current.isCompletedExceptionally() && !broker.isCompletedExceptionally();
        if (current == null || failed) {
            current = broker.thenRunAsync(
                    () -> TopicAdmin.ensure(properties.settings("millrace"), properties.plan(), properties.patience()));
            topics = current;
        }
        return current;
    }
}
