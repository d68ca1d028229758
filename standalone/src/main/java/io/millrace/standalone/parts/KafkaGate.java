package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAccess;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.shared.log.kafka.TopicRights;
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
    private @Nullable CompletableFuture<TopicRights> topics;

    /**
     * A gate before Kafka.
     *
     * @param broker completes when the broker in this process takes clients; completed when there is none
     */
    public KafkaGate(KafkaProperties properties, CompletableFuture<?> broker) {
        this.properties = properties;
        this.broker = broker;
    }

    /** Waits until the topics are there; the failure of the broker or of the topics is thrown to every part. */
    TopicRights await() throws InterruptedException {
        try {
            return ready().get();
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            throw cause instanceof MillraceException coded
                    ? coded
                    : new MillraceException("MR-LOG-004", "Kafka cannot be used: " + cause, e);
        }
    }

    /** The same, and returns the settings for a part; throws MR-LOG-011 when Kafka does not let it do its work. */
    public KafkaSettings await(String clientId, TopicAccess part) throws InterruptedException {
        await().require(part);
        return properties.settings(clientId);
    }

    private synchronized CompletableFuture<TopicRights> ready() {
        CompletableFuture<TopicRights> current = topics;
        boolean failed = current != null && current.isCompletedExceptionally() && !broker.isCompletedExceptionally();
        if (current == null || failed) {
            current = broker.thenApplyAsync(started ->
                    TopicAdmin.ensure(properties.settings("millrace"), properties.plan(), properties.patience()));
            topics = current;
        }
        return current;
    }
}
