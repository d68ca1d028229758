package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.config.TopicConfig;

/**
 * How the topics shall be.
 *
 * @param partitions of requests, responses, results and checkpoints; default 16
 * @param slots partitions of assignments, so the most workers at a time; default 64
 * @param replicationFactor 0 (default): three, or as many as there are brokers
 * @param deadlineMax longest life of a request: journals are kept for twice that at least; default 30 min
 */
public record TopicPlan(int partitions, int slots, int replicationFactor, Duration deadlineMax) {

    private static final long HOUR_MS = 3_600_000L;

    public TopicPlan {
        partitions = partitions == 0 ? Topic.REQUESTS.defaultPartitions() : partitions;
        slots = slots == 0 ? Topic.ASSIGNMENTS.defaultPartitions() : slots;
        deadlineMax = deadlineMax == null ? Duration.ofMinutes(30) : deadlineMax;
        if (partitions < 1 || partitions > 65_536 || slots < 1) {
            throw new MillraceException(
                    "MR-LOG-009",
                    "1 to 65,536 partitions and at least one slot wanted, not %d and %d".formatted(partitions, slots));
        }
    }

    public static TopicPlan defaults() {
        return new TopicPlan(0, 0, 0, Duration.ofMinutes(30));
    }

    /** Partitions of a topic that does not exist yet. */
    int partitions(Topic topic) {
        return switch (topic) {
            case REQUESTS, RESPONSES, RESULTS, CHECKPOINTS -> partitions;
            case ASSIGNMENTS -> slots;
            case WORKERS, MEMBERS, DEAD_LETTERS, FILES, BATCHES -> topic.defaultPartitions();
        };
    }

    /** What the topic is created with. */
    Map<String, String> settings(Topic topic, int replicas) {
        Map<String, String> map = new LinkedHashMap<>();
        long retention = topic.retentionMs() < 0 ? -1 : Math.max(topic.retentionMs(), least(topic));
        map.put(TopicConfig.CLEANUP_POLICY_CONFIG, topic.cleanup().policy());
        map.put(TopicConfig.RETENTION_MS_CONFIG, Long.toString(retention));
        map.put(TopicConfig.RETENTION_BYTES_CONFIG, "-1");
        map.put(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Integer.toString(KafkaSettings.RECORD_BYTES_MAX));
        map.put(TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, "LogAppendTime");
        map.put(TopicConfig.MIN_IN_SYNC_REPLICAS_CONFIG, replicas >= 3 ? "2" : "1");
        // A segment is dropped as a whole: a quarter of the retention keeps the surplus small.
        map.put(
                TopicConfig.SEGMENT_MS_CONFIG,
                Long.toString(retention < 0 ? HOUR_MS : Math.min(HOUR_MS, Math.max(60_000, retention / 4))));
        map.put(TopicConfig.SEGMENT_BYTES_CONFIG, Integer.toString(64 * 1024 * 1024));
        if (topic.cleanup() != Topic.Cleanup.DELETE) {
            map.put(TopicConfig.MIN_CLEANABLE_DIRTY_RATIO_CONFIG, "0.2");
        }
        return map;
    }

    /** Milliseconds that the topic must keep records for; -1 for ever. */
    long least(Topic topic) {
        return switch (topic) {
            case REQUESTS, RESPONSES -> 2 * deadlineMax.toMillis();
            case CHECKPOINTS -> -1;
            case ASSIGNMENTS, WORKERS, MEMBERS, RESULTS, DEAD_LETTERS, FILES, BATCHES -> topic.retentionMs();
        };
    }

    /** An empty map with room for every topic. */
    static <V> Map<Topic, V> byTopic() {
        return new EnumMap<>(Topic.class);
    }
}
