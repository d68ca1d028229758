package io.millrace.standalone.config;

import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicPlan;
import java.time.Duration;
import java.util.Map;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * How every part reaches Kafka, and the topics it makes there.
 *
 * @param bootstrapServers {@code host:port}, comma separated
 * @param topicPrefix before each topic's name, so that several deployments share a cluster
 * @param deliveryTimeout after which an append that Kafka did not confirm fails; at least 2 s
 * @param buffer most memory for appends that are not confirmed yet; at least 20 MiB
 * @param partitions of requests, responses, results and checkpoints, when they are made
 * @param slots partitions of assignments, so the most workers at a time, when it is made
 * @param replicationFactor when topics are made; 0: three, or as many as there are brokers
 * @param deadlineMax longest life of a request; topics that keep less than twice that are refused
 * @param patience how long a part waits for Kafka as it starts
 * @param client given to every Kafka client as they are, such as {@code security.protocol}
 */
@ConfigurationProperties("millrace.kafka")
public record KafkaProperties(
        @DefaultValue("127.0.0.1:9092") String bootstrapServers,
        @DefaultValue("millrace.") String topicPrefix,
        @DefaultValue("30s") Duration deliveryTimeout,
        @DefaultValue("64MB") DataSize buffer,
        @DefaultValue("16") int partitions,
        @DefaultValue("64") int slots,
        @DefaultValue("0") int replicationFactor,
        @DefaultValue("30m") Duration deadlineMax,
        @DefaultValue("60s") Duration patience,
        @DefaultValue Map<String, String> client) {

    /** Settings of a part; its client ids begin with that name. */
    public KafkaSettings settings(String clientId) {
        return new KafkaSettings(bootstrapServers, clientId, topicPrefix, deliveryTimeout, buffer.toBytes(), client);
    }

    public TopicPlan plan() {
        return new TopicPlan(partitions, slots, replicationFactor, deadlineMax);
    }
}
