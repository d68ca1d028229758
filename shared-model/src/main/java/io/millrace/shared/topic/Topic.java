package io.millrace.shared.topic;

/**
 * The topics of the protocol, with their default layout; what each is for stands in {@code docs/protocol.md}.
 *
 * <p>{@link #REQUESTS}, {@link #RESPONSES}, {@link #RESULTS} and {@link #CHECKPOINTS} have one number of partitions, and a
 * request has the same partition number in each.
 */
public enum Topic {
    REQUESTS("requests", 16, Cleanup.DELETE, 24 * 3_600_000L),
    RESPONSES("responses", 16, Cleanup.DELETE, 24 * 3_600_000L),
    ASSIGNMENTS("assignments", 64, Cleanup.DELETE, 30 * 60_000L),
    WORKERS("workers", 1, Cleanup.DELETE, 10 * 60_000L),
    MEMBERS("members", 1, Cleanup.DELETE, 10 * 60_000L),
    RESULTS("results", 16, Cleanup.COMPACT_DELETE, 24 * 3_600_000L),
    CHECKPOINTS("checkpoints", 16, Cleanup.COMPACT, -1),
    DEAD_LETTERS("dead-letters", 1, Cleanup.DELETE, 7 * 24 * 3_600_000L),
    FILES("files", 4, Cleanup.DELETE, 7 * 24 * 3_600_000L),
    BATCHES("batches", 1, Cleanup.COMPACT_DELETE, 7 * 24 * 3_600_000L);

    /** Kafka's clean-up policies. */
    public enum Cleanup {
        DELETE("delete"),
        COMPACT("compact"),
        COMPACT_DELETE("compact,delete");

        private final String policy;

        Cleanup(String policy) {
            this.policy = policy;
        }

        /** Value of {@code cleanup.policy}. */
        public String policy() {
            return policy;
        }
    }

    private final String baseName;
    private final int defaultPartitions;
    private final Cleanup cleanup;
    private final long retentionMs;

    Topic(String baseName, int defaultPartitions, Cleanup cleanup, long retentionMs) {
        this.baseName = baseName;
        this.defaultPartitions = defaultPartitions;
        this.cleanup = cleanup;
        this.retentionMs = retentionMs;
    }

    /** Name without the deployment's prefix. */
    public String baseName() {
        return baseName;
    }

    public int defaultPartitions() {
        return defaultPartitions;
    }

    public Cleanup cleanup() {
        return cleanup;
    }

    /** Default of {@code retention.ms}; -1 for ever. */
    public long retentionMs() {
        return retentionMs;
    }
}
