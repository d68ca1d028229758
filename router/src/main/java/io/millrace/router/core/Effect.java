package io.millrace.router.core;

import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import org.jspecify.annotations.Nullable;

/** What the router wants done; its driver carries effects out in the order given. */
public sealed interface Effect {

    /**
     * Append a record, then call {@link RouterCore#onAppended} or {@link RouterCore#onAppendFailed} with the token, once.
     * Appends to one partition must land in the order given.
     *
     * @param value serialised message; null for a tombstone
     * @param trace of the request that the record belongs to; or empty
     */
    record Append(long token, Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace)
            implements Effect {}

    /** Read that partition from there on; {@code fromOffset} as in {@link io.millrace.shared.log.LogReader#assign}. */
    record StartReading(Topic topic, int partition, long fromOffset) implements Effect {}

    record StopReading(Topic topic, int partition) implements Effect {}

    /** Hold a TCP connection to that address, and call {@link RouterCore#onLivenessLost} when it breaks or is refused. */
    record ConnectLiveness(String worker, long incarnation, String address) implements Effect {}

    record DisconnectLiveness(String worker, long incarnation) implements Effect {}

    /** Something for metrics and traces. */
    record Observe(RouterEvent event) implements Effect {}
}
