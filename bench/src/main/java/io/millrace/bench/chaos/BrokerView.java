package io.millrace.bench.chaos;

import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.topic.Topic;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;

/** Who leads what among the brokers. Thread-safe. */
final class BrokerView implements AutoCloseable {

    private static final long ANSWER_S_MAX = 20;

    private final Admin admin;
    private final List<String> topics;

    BrokerView(String bootstrap) {
        admin = Admin.create(
                Map.of("bootstrap.servers", bootstrap, "client.id", "chaos-admin", "reconnect.backoff.max.ms", "500"));
        KafkaSettings names = KafkaSettings.of(bootstrap);
        topics = List.of(Topic.values()).stream().map(names::name).toList();
    }

    /** Node that leads the first partition of the journals. */
    int leader() throws InterruptedException, TimeoutException {
        return journals().leader().id();
    }

    /** A node that follows it. */
    int follower() throws InterruptedException, TimeoutException {
        TopicPartitionInfo journals = journals();
        return journals.isr().stream()
                .map(Node::id)
                .filter(id -> id != journals.leader().id())
                .findFirst()
                .orElse(journals.leader().id());
    }

    private TopicPartitionInfo journals() throws InterruptedException, TimeoutException {
        return partitions().stream()
                .filter(each -> each.partition() == 0)
                .findFirst()
                .orElseThrow();
    }

    private List<TopicPartitionInfo> partitions() throws InterruptedException, TimeoutException {
        try {
            return admin.describeTopics(List.of(topics.get(Topic.RESPONSES.ordinal())))
                    .allTopicNames()
                    .get(ANSWER_S_MAX, TimeUnit.SECONDS)
                    .values()
                    .iterator()
                    .next()
                    .partitions();
        } catch (ExecutionException e) {
            throw new IllegalStateException("the brokers do not say who leads: " + e.getCause(), e);
        }
    }

    /** Node that is the active controller. */
    int controller() throws InterruptedException, TimeoutException {
        try {
            return admin.describeMetadataQuorum()
                    .quorumInfo()
                    .get(ANSWER_S_MAX, TimeUnit.SECONDS)
                    .leaderId();
        } catch (ExecutionException e) {
            throw new IllegalStateException("the brokers do not say who controls: " + e.getCause(), e);
        }
    }

    /** Every copy of every partition is in sync again. */
    boolean allInSync() throws InterruptedException {
        try {
            return admin.describeTopics(topics).allTopicNames().get(ANSWER_S_MAX, TimeUnit.SECONDS).values().stream()
                    .map(topic -> topic.partitions())
                    .flatMap(Collection::stream)
                    .allMatch(each -> each.leader() != null
                            && each.isr().size() == each.replicas().size());
        } catch (ExecutionException | TimeoutException notYet) {
            return false;
        }
    }

    @Override
    public void close() {
        admin.close(java.time.Duration.ofSeconds(2));
    }
}
