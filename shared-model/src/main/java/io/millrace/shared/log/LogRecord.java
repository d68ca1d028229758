package io.millrace.shared.log;

import io.millrace.shared.topic.Topic;
import org.jspecify.annotations.Nullable;

/**
 * One record as read.
 *
 * @param timestampMs the broker's time of append, milliseconds since the epoch
 * @param value null for a tombstone; not copied: do not modify
 */
public record LogRecord(
        Topic topic, int partition, long offset, long timestampMs, String key, byte @Nullable [] value) {}
