package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.TraceContext;

/** What happened to a request, for spans, metrics and logs; times in milliseconds since the epoch. */
public sealed interface RouterEvent {

    String id();

    /** ADMIT stands in the journal; {@code submittedMs} is the log's time of the request. */
    record Admitted(String id, String model, String tenant, long submittedMs, long admittedMs, TraceContext trace)
            implements RouterEvent {}

    record Rejected(String id, String model, int status, String code) implements RouterEvent {}

    /** It entered the queue; {@code cause} is empty the first time, else why the attempt before is over. */
    record Queued(String id, String model, String tenant, String cause, long atMs) implements RouterEvent {}

    /** It left the queue for a worker; the assignment is on its way. */
    record Routed(
            String id,
            String model,
            String worker,
            int attempt,
            long queuedMs,
            long atMs,
            int cachedTokens,
            TraceContext trace)
            implements RouterEvent {}

    /** A router CLAIM was appended: the attempt before is fenced off when it is read back. */
    record Fenced(String id, String model, int attempt, String cause, long atMs) implements RouterEvent {}

    /** The current attempt is taken for lost; {@code startedMs} is the time of its dispatch, {@code aid} empty before its claim. */
    record AttemptLost(
            String id,
            String model,
            String worker,
            int attempt,
            ByteString aid,
            String cause,
            int tokens,
            long startedMs,
            long atMs,
            TraceContext trace)
            implements RouterEvent {}

    /** The journal is terminal; {@code status} as in Result. */
    record Ended(
            String id,
            String model,
            String tenant,
            String status,
            int attempts,
            int promptTokens,
            int completionTokens,
            long admittedMs,
            long endedMs)
            implements RouterEvent {}

    record DeadLettered(String id, String model, String cause) implements RouterEvent {}

    /**
     * A node is suspected, or heard again; {@code id} is the node.
     *
     * @param cause why it is suspected, for a person
     * @param expected it said that it goes, or was gone before this router came: no news to anybody
     */
    record NodeSuspected(String id, String kind, boolean suspected, String cause, boolean expected, long atMs)
            implements RouterEvent {}

    /** This router owns the partition now, or no longer; {@code id} is its own node. */
    record Ownership(String id, int partition, boolean owned, long atMs) implements RouterEvent {}
}
