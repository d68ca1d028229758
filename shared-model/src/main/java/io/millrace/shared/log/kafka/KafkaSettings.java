package io.millrace.shared.log.kafka;

import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * How to reach Kafka. Any component left out (null) has the default named here.
 *
 * @param bootstrapServers {@code host:port}, comma separated; default {@code localhost:9092}
 * @param clientId prefix of the client ids that the brokers see; default {@code millrace}
 * @param topicPrefix before each topic's name, so that several deployments share a cluster; default {@code millrace.}
 * @param deliveryTimeout after which an append that Kafka did not confirm fails; default 30 s, at least 2 s
 * @param bufferBytes most memory for appends that are not confirmed yet; default 64 MiB
 * @param properties given to every Kafka client as they are (TLS, SASL); default none
 */
public record KafkaSettings(
        String bootstrapServers,
        String clientId,
        String topicPrefix,
        Duration deliveryTimeout,
        long bufferBytes,
        Map<String, String> properties) {

    /** Largest record, in bytes, that the topics take. */
    public static final int RECORD_BYTES_MAX = 10 * 1024 * 1024;

    private static final Duration DELIVERY_TIMEOUT = Duration.ofSeconds(30);
    private static final Duration DELIVERY_TIMEOUT_MIN = Duration.ofSeconds(2);
    private static final long BUFFER_BYTES = 64L * 1024 * 1024;

    public KafkaSettings {
        bootstrapServers = bootstrapServers == null ? "localhost:9092" : bootstrapServers;
        clientId = clientId == null ? "millrace" : clientId;
        topicPrefix = topicPrefix == null ? "millrace." : topicPrefix;
        deliveryTimeout = deliveryTimeout == null ? DELIVERY_TIMEOUT : deliveryTimeout;
        bufferBytes = bufferBytes == 0 ? BUFFER_BYTES : bufferBytes;
        properties = properties == null ? Map.of() : Map.copyOf(properties);
        if (deliveryTimeout.compareTo(DELIVERY_TIMEOUT_MIN) < 0) {
            throw new IllegalArgumentException("delivery timeout " + deliveryTimeout.toMillis() + " ms is below "
                    + DELIVERY_TIMEOUT_MIN.toMillis() + " ms");
        }
        if (bufferBytes < 2L * RECORD_BYTES_MAX) {
            throw new IllegalArgumentException("buffer of " + bufferBytes + " bytes is below " + 2L * RECORD_BYTES_MAX);
        }
    }

    /** Defaults for everything but the address. */
    public static KafkaSettings of(String bootstrapServers) {
        return new KafkaSettings(bootstrapServers, "millrace", "millrace.", DELIVERY_TIMEOUT, BUFFER_BYTES, Map.of());
    }

    public KafkaSettings withClientId(String id) {
        return new KafkaSettings(bootstrapServers, id, topicPrefix, deliveryTimeout, bufferBytes, properties);
    }

    public KafkaSettings withTopicPrefix(String prefix) {
        return new KafkaSettings(bootstrapServers, clientId, prefix, deliveryTimeout, bufferBytes, properties);
    }

    public KafkaSettings withDeliveryTimeout(Duration timeout) {
        return new KafkaSettings(bootstrapServers, clientId, topicPrefix, timeout, bufferBytes, properties);
    }

    /** Name of the topic in this deployment. */
    public String name(Topic topic) {
        return topicPrefix + topic.baseName();
    }

    private Map<String, Object> common(String suffix) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers);
        map.put(CommonClientConfigs.CLIENT_ID_CONFIG, clientId + "-" + suffix);
        map.put(CommonClientConfigs.RECONNECT_BACKOFF_MS_CONFIG, 50);
        map.put(CommonClientConfigs.RECONNECT_BACKOFF_MAX_MS_CONFIG, 500);
        map.put(CommonClientConfigs.RETRY_BACKOFF_MS_CONFIG, 20);
        map.put(CommonClientConfigs.RETRY_BACKOFF_MAX_MS_CONFIG, 500);
        map.put(CommonClientConfigs.SOCKET_CONNECTION_SETUP_TIMEOUT_MS_CONFIG, 2_000);
        map.put(CommonClientConfigs.SOCKET_CONNECTION_SETUP_TIMEOUT_MAX_MS_CONFIG, 5_000);
        map.put(CommonClientConfigs.ENABLE_METRICS_PUSH_CONFIG, false);
        return map;
    }

    /** Properties of an administration client. */
    Map<String, Object> admin() {
        Map<String, Object> map = common("admin");
        map.put(CommonClientConfigs.REQUEST_TIMEOUT_MS_CONFIG, 3_000);
        map.put(CommonClientConfigs.DEFAULT_API_TIMEOUT_MS_CONFIG, 5_000);
        map.putAll(properties);
        return map;
    }

    /** Properties of a producer for interactive paths: every append goes out at once and waits for all in-sync replicas. */
    Map<String, Object> producer(String suffix) {
        Map<String, Object> map = common(suffix);
        int delivery = Math.toIntExact(deliveryTimeout.toMillis());
        map.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        map.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
        map.put(ProducerConfig.ACKS_CONFIG, "all");
        map.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        // A broker that knows nothing of the producer (a new partition, a restart) takes any sequence number as the
        // first: with
        // several requests under way a later batch could land before one that is retried, which then never can.
        map.put(ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, 1);
        map.put(ProducerConfig.LINGER_MS_CONFIG, 0);
        map.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, delivery);
        map.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, Math.min(10_000, delivery));
        // KafkaLog waits by itself, away from its callers.
        map.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, 0);
        map.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, RECORD_BYTES_MAX);
        map.put(ProducerConfig.BUFFER_MEMORY_CONFIG, bufferBytes);
        map.putAll(properties);
        return map;
    }

    /**
     * Properties of a reader: committed records only, no group, no commits, an explicit offset for each partition.
     *
     * @param settled see {@link io.millrace.shared.log.LogReader.Listener#isSettled}
     */
    Map<String, Object> consumer(String suffix, boolean settled) {
        Map<String, Object> map = common(suffix);
        map.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class);
        map.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        map.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        map.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        map.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none");
        map.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, false);
        map.put(ConsumerConfig.FETCH_MIN_BYTES_CONFIG, 1);
        map.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, settled ? 250 : 100);
        map.put(ConsumerConfig.FETCH_MAX_BYTES_CONFIG, 2 * RECORD_BYTES_MAX);
        map.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 2_000);
        map.put(ConsumerConfig.REQUEST_TIMEOUT_MS_CONFIG, 10_000);
        map.put(ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, 10_000);
        map.putAll(properties);
        return map;
    }
}
