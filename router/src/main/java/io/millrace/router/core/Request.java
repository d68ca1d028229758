package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.router.core.failover.Blame;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Submit;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** One request of an owned partition, from its first record to its checkpoint. */
final class Request {

    final Partition partition;
    final long req;
    final String id;
    final Submit submit;
    /** Time of append of the request. */
    final long submittedMs;

    @Nullable
    JournalFold journal;
    /** An append to the journal whose outcome the fold has not shown yet. */
    @Nullable
    Pending pending;
    /** Nothing is appended for it before. */
    long retryAtMs;
    /** This router, in this ownership, wrote an ADMIT for it. */
    boolean admittedHere;
    /** Attempt 1 went out without a record, or may have. */
    boolean dispatchedOnce;

    @Nullable
    Binding binding;
    /** What it was bound to before it was taken for lost. */
    @Nullable
    Binding lost;
    /** Of the attempt before the current one; empty when it is not known here. */
    ByteString previousAid = ByteString.EMPTY;
    /** Crashes since the journal's current claim. */
    Blame blame = Blame.NONE;

    /** Crashes counted because a worker was silent; each is taken back when that process is heard again. */
    final List<Suspicion> suspicions = new ArrayList<>();
    /** Crashes that the journal's current claim counts, and that were none. */
    Blame forgiven = Blame.NONE;

    String cause = "";
    boolean queued;
    long queuedMs;
    long charged;
    final Set<ByteString> ownAids = new HashSet<>();
    int lastSentAttempt;

    final Set<String> gateways = new HashSet<>();
    /** Those that fell silent while they read it: one that is heard again has its clients still. */
    final Set<String> silentGateways = new HashSet<>();
    /** Since when no gateway reads it; -1 while one does. */
    long detachedMs = -1;

    @Nullable
    String cancelCause;
    /** The result is written, or none is due. */
    boolean done;

    boolean resultPending;
    /** One above the offset of its result; 0 before it is written here. */
    long resultPosition;
    /** The client wants no result kept. */
    boolean deleted;

    /** When a worker with its weights was last there, while it waits; -1 before it did. */
    long offeredMs = -1;

    boolean ended;

    Request(Partition partition, long req, String id, Submit submit, long submittedMs) {
        this.partition = partition;
        this.req = req;
        this.id = id;
        this.submit = submit;
        this.submittedMs = submittedMs;
        if (!submit.getGateway().isEmpty()) {
            gateways.add(submit.getGateway());
        }
    }

    /** An append to the journal on its way; {@code offset} is -1 until it is acknowledged. */
    static final class Pending {
        final @Nullable Binding target;
        long offset = -1;

        Pending(@Nullable Binding target) {
            this.target = target;
        }
    }

    /**
     * A silence that was counted as a crash.
     *
     * @param attempt the journal's at that time: a later claim of this router's has it in its count
     * @param lastMs time of append of the worker's last beat then; -1 when it was not known
     */
    record Suspicion(String worker, long incarnation, boolean solo, int attempt, long lastMs) {}

    /** Whether it runs as it should, and nothing is awaited but its end. */
    boolean steady(long nowMs) {
        Binding now = binding;
        return journal != null
                && now != null
                && now.steady()
                && pending == null
                && nowMs >= retryAtMs
                && suspicions.isEmpty()
                && cancelCause == null
                && detachedMs < 0;
    }

    /** Crashes that the journal tells of, and those since, without those that were none. */
    Blame totalBlame() {
        JournalFold now = journal;
        return Blame.of(now == null ? null : now.claim()).minus(forgiven).plus(blame);
    }

    /** The time at which it must have ended. */
    long deadlineMs(long deadlineMaxMs) {
        long latest = submit.getCreatedMs() + deadlineMaxMs;
        return submit.getDeadlineMs() <= 0 ? latest : Math.min(submit.getDeadlineMs(), latest);
    }

    /** Model name as the journal has it, or as asked for. */
    String model() {
        JournalFold now = journal;
        return now != null && now.admitted() ? now.admit().getModel() : submit.getModel();
    }
}
