package io.millrace.shared.log.kafka;

import io.millrace.shared.topic.Topic;
import java.util.EnumSet;
import java.util.Set;

/** What each part does with the topics: the least that Kafka must let it do. docs/security.md says it for people. */
public enum TopicAccess {
    GATEWAY(
            EnumSet.of(
                    Topic.REQUESTS,
                    Topic.RESPONSES,
                    Topic.WORKERS,
                    Topic.MEMBERS,
                    Topic.RESULTS,
                    Topic.FILES,
                    Topic.BATCHES),
            EnumSet.of(Topic.REQUESTS, Topic.MEMBERS, Topic.FILES, Topic.BATCHES)),
    ROUTER(
            EnumSet.of(Topic.REQUESTS, Topic.RESPONSES, Topic.WORKERS, Topic.MEMBERS, Topic.RESULTS, Topic.CHECKPOINTS),
            EnumSet.of(
                    Topic.RESPONSES,
                    Topic.ASSIGNMENTS,
                    Topic.WORKERS,
                    Topic.MEMBERS,
                    Topic.RESULTS,
                    Topic.CHECKPOINTS,
                    Topic.DEAD_LETTERS)),
    WORKER(EnumSet.of(Topic.REQUESTS, Topic.ASSIGNMENTS, Topic.WORKERS), EnumSet.of(Topic.RESPONSES, Topic.WORKERS)),
    /** {@code trace}, {@code replay}, {@code dead-letters}. */
    TOOLS(
            EnumSet.of(Topic.REQUESTS, Topic.RESPONSES, Topic.ASSIGNMENTS, Topic.DEAD_LETTERS),
            EnumSet.of(Topic.REQUESTS));

    private final Set<Topic> reads;
    private final Set<Topic> writes;

    TopicAccess(Set<Topic> reads, Set<Topic> writes) {
        this.reads = reads;
        this.writes = writes;
    }

    public boolean reads(Topic topic) {
        return reads.contains(topic);
    }

    public boolean writes(Topic topic) {
        return writes.contains(topic);
    }
}
