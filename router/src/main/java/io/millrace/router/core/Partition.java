package io.millrace.router.core;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Checkpoint;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.util.Collection;
import java.util.List;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A partition that this router owns: its requests and their journals. It loads in steps: the last checkpoint, the results,
 * then requests and journals from the checkpoint on; only when it has caught up with both does it act.
 */
final class Partition {

    private static final int TENANTS_IN_CHECKPOINT_MAX = 256;

    private enum Phase {
        CHECKPOINT,
        RESULTS,
        FOLDING,
        ACTIVE,
        CLOSED
    }

    private final Context context;
    private final int number;
    private final Lifecycle lifecycle;
    private final JournalWriter writer;
    private final Duplicates duplicates;

    private Phase phase = Phase.CHECKPOINT;
    private Checkpoint checkpoint = Checkpoint.getDefaultInstance();
    private PartitionFold fold;
    private final TreeMap<Long, Request> open = new TreeMap<>();
    /** Offsets at which the journals at or above the checkpoint begin. */
    private final TreeMap<Long, Long> begins = new TreeMap<>();

    private long requestsPosition;
    private boolean requestsCaughtUp;
    private boolean responsesCaughtUp;
    private long checkpointMs;
    private boolean checkpointPending;

    Partition(Context context, int number, Lifecycle lifecycle, JournalWriter writer) {
        this.context = context;
        this.number = number;
        this.lifecycle = lifecycle;
        this.writer = writer;
        this.duplicates = new Duplicates(context, this);
        this.fold = context.rules.folds().create(0);
    }

    int number() {
        return number;
    }

    PartitionFold fold() {
        return fold;
    }

    boolean active() {
        return phase == Phase.ACTIVE;
    }

    Collection<Request> open() {
        return open.values();
    }

    @Nullable
    Request request(long req) {
        return open.get(req);
    }

    void load() {
        context.outbox.add(new Effect.StartReading(Topic.CHECKPOINTS, number, LogReader.BEGINNING));
    }

    /** It is no longer ours: forgets everything. */
    void close() {
        switch (phase) {
            case CHECKPOINT -> context.outbox.add(new Effect.StopReading(Topic.CHECKPOINTS, number));
            case RESULTS -> context.outbox.add(new Effect.StopReading(Topic.RESULTS, number));
            case FOLDING, ACTIVE -> {
                context.outbox.add(new Effect.StopReading(Topic.REQUESTS, number));
                context.outbox.add(new Effect.StopReading(Topic.RESPONSES, number));
            }
            case CLOSED -> {}
        }
        phase = Phase.CLOSED;
        for (Request request : open.values()) {
            context.queues.remove(request);
            for (Binding binding :
                    new Binding[] {request.binding, request.pending == null ? null : request.pending.target}) {
                if (binding != null) {
                    context.release(binding);
                }
            }
        }
        open.clear();
    }

    void caughtUp(Topic topic, long position) {
        if (phase == Phase.CHECKPOINT && topic == Topic.CHECKPOINTS) {
            context.outbox.add(new Effect.StopReading(Topic.CHECKPOINTS, number));
            context.outbox.add(new Effect.StartReading(Topic.RESULTS, number, LogReader.BEGINNING));
            context.shares.merge(checkpoint.getFairnessMap());
            phase = Phase.RESULTS;
        } else if (phase == Phase.RESULTS && topic == Topic.RESULTS) {
            context.outbox.add(new Effect.StopReading(Topic.RESULTS, number));
            boolean none = checkpoint.getTimeMs() == 0;
            fold = context.rules.folds().create(checkpoint.getRequestsOffset());
            // Requests are read beside the journals: one that comes late must still find its journal, to write its
            // result.
            fold.keepUntilReleased();
            requestsPosition = checkpoint.getRequestsOffset();
            context.outbox.add(new Effect.StartReading(
                    Topic.RESPONSES, number, none ? LogReader.BEGINNING : checkpoint.getResponsesOffset()));
            context.outbox.add(new Effect.StartReading(
                    Topic.REQUESTS, number, none ? LogReader.BEGINNING : checkpoint.getRequestsOffset()));
            phase = Phase.FOLDING;
        } else if (phase == Phase.FOLDING) {
            requestsCaughtUp |= topic == Topic.REQUESTS && position >= requestsPosition;
            responsesCaughtUp |= topic == Topic.RESPONSES && position >= fold.position();
            activate();
        }
    }

    /** Acts from here on, when everything is loaded and the workers are known. */
    void activate() {
        if (phase != Phase.FOLDING
                || !requestsCaughtUp
                || !responsesCaughtUp
                || !context.workers.progress().started()) {
            return;
        }
        phase = Phase.ACTIVE;
        for (Request request : open.values()) {
            for (String gateway : List.copyOf(request.gateways)) {
                if (context.members.known(gateway) && !context.members.gatewayLive(gateway)) {
                    lose(request, gateway, context.members.gatewaySilent(gateway));
                }
            }
            request.lastSentAttempt = request.journal == null ? 0 : request.journal.attempt();
            context.touch(request);
        }
    }

    void checkpoint(LogRecord record) throws InvalidProtocolBufferException {
        if (phase == Phase.CHECKPOINT && record.value() != null) {
            checkpoint = Checkpoint.parseFrom(record.value());
        }
    }

    void result(LogRecord record) throws InvalidProtocolBufferException {
        if (phase == Phase.RESULTS && record.value() == null) {
            duplicates.forget(record.key());
        } else if (phase == Phase.RESULTS) {
            duplicates.result(record.offset(), Result.parseFrom(record.value()));
        }
    }

    void request(LogRecord record) throws InvalidProtocolBufferException {
        if ((phase != Phase.FOLDING && phase != Phase.ACTIVE) || record.offset() < requestsPosition) {
            return;
        }
        requestsPosition = record.offset() + 1;
        if (record.value() == null) {
            return;
        }
        RequestRecord parsed = RequestRecord.parseFrom(record.value());
        if (parsed.hasSubmit()) {
            if (!duplicates.take(record.offset(), parsed.getId(), parsed.getSubmit(), record.timestampMs())) {
                add(record.offset(), parsed.getId(), parsed.getSubmit(), record.timestampMs());
            }
            return;
        }
        if (parsed.hasAttach() && parsed.getAttach().getLocate()) {
            duplicates.locate(record.offset(), parsed.getId(), parsed.getAttach(), record.timestampMs());
        }
        if (parsed.hasDelete()) {
            duplicates.delete(record.offset(), parsed.getId(), parsed.getDelete());
        }
        Long first = duplicates.first(parsed.getId());
        Request request = first == null ? null : open.get(first);
        if (request == null) {
            return;
        }
        switch (parsed.getRecordCase()) {
            case CANCEL -> {
                if (parsed.getCancel().getTenant().equals(request.submit.getTenant())) {
                    String cause = parsed.getCancel().getCause();
                    request.cancelCause = cause.isEmpty() ? "cancelled" : cause;
                }
            }
            case DETACH -> {
                request.gateways.remove(parsed.getDetach().getGateway());
                request.silentGateways.remove(parsed.getDetach().getGateway());
                detachIfAlone(request, Math.min(context.nowMs, record.timestampMs()));
            }
            case ATTACH -> {
                String tenant = parsed.getAttach().getTenant();
                boolean reads = !parsed.getAttach().getGateway().isEmpty();
                if (reads && (tenant.isEmpty() || tenant.equals(request.submit.getTenant()))) {
                    request.gateways.add(parsed.getAttach().getGateway());
                    request.detachedMs = -1;
                }
            }
            case DELETE -> {
                if (parsed.getDelete().getTenant().equals(request.submit.getTenant())) {
                    request.deleted = true;
                    request.cancelCause = "deleted";
                }
            }
            case SUBMIT, RECORD_NOT_SET -> {}
        }
        context.touch(request);
    }

    /** Opens a request; one whose journal has ended already is only finished. */
    void add(long req, String id, Submit submit, long timestampMs) {
        if (fold.forgotten(req)) {
            return;
        }
        Request request = new Request(this, req, id, submit, timestampMs);
        request.journal = fold.journal(req);
        open.put(req, request);
        context.touch(request);
    }

    private void detachIfAlone(Request request, long atMs) {
        if (request.gateways.isEmpty() && !request.submit.getGateway().isEmpty() && request.detachedMs < 0) {
            request.detachedMs = atMs;
        }
    }

    /** The gateway's clients are gone, of requests submitted up to then. */
    void gatewayGone(String gateway, long beforeMs) {
        for (Request request : open.values()) {
            if (request.submittedMs <= beforeMs) {
                lose(request, gateway, false);
            }
        }
    }

    /** The gateway is silent: its clients are gone unless it is heard again. */
    void gatewaySilent(String gateway) {
        for (Request request : open.values()) {
            lose(request, gateway, true);
        }
    }

    /** The suspicion was wrong: its clients read on. */
    void gatewayBack(String gateway) {
        for (Request request : open.values()) {
            if (request.silentGateways.remove(gateway)) {
                request.gateways.add(gateway);
                request.detachedMs = -1;
                context.touch(request);
            }
        }
    }

    private void lose(Request request, String gateway, boolean mayReturn) {
        boolean read = request.gateways.remove(gateway);
        if (!mayReturn) {
            request.silentGateways.remove(gateway);
        } else if (read) {
            request.silentGateways.add(gateway);
        }
        if (read) {
            detachIfAlone(request, context.nowMs);
            context.touch(request);
        }
    }

    void journal(LogRecord record) {
        if (phase != Phase.FOLDING && phase != Phase.ACTIVE) {
            return;
        }
        PartitionFold.Folded folded = fold.apply(record);
        JournalFold journal = folded.journal();
        JournalRecord parsed = folded.record();
        if (parsed == null) {
            return;
        }
        if (journal != null && journal.beginOffset() == record.offset()) {
            begins.put(journal.req(), record.offset());
        }
        Request request = open.get(parsed.getReq());
        if (request == null || !request.id.equals(parsed.getId())) {
            return;
        }
        if (request.journal == null && journal != null) {
            request.journal = journal;
            writer.begun(request);
            if (active() && journal.admitted()) {
                context.outbox.observe(new RouterEvent.Admitted(
                        request.id,
                        request.model(),
                        request.submit.getTenant(),
                        request.submittedMs,
                        record.timestampMs(),
                        request.submit.getTrace()));
            }
        }
        if (active() && parsed.hasClaim()) {
            if (folded.verdict().isAccepted()) {
                context.stats.claimed(
                        request.model(),
                        Estimates.promptBytes(request.submit),
                        parsed.getClaim().getPromptLength());
                lifecycle.claimed(request, parsed.getClaim(), record.timestampMs());
            } else {
                lifecycle.refused(request, parsed.getClaim());
            }
        }
        if (active()
                && parsed.hasTokens()
                && journal != null
                && folded.verdict().isAccepted()) {
            learn(request, journal, parsed.getTokens().getIdsCount(), record.timestampMs());
        }
        writer.settle(request);
        if (journal != null && (parsed.hasTokens() ? journal.dead() : true)) {
            context.touch(request);
        }
    }

    /** What the journal's timestamps say of the worker's pace. */
    private void learn(Request request, JournalFold journal, int tokens, long timestampMs) {
        Binding binding = request.binding;
        Worker worker = binding == null ? null : context.workers.find(binding.worker);
        if (binding == null || worker == null || !binding.aid.equals(journal.aid())) {
            return;
        }
        if (binding.tokensMs > 0) {
            if (journal.choices() == 1) {
                worker.learnStep((timestampMs - binding.tokensMs) / 1e3, tokens);
            }
        } else if (binding.claimedMs > 0 && journal.attempt() == 1 && journal.promptLength() > 0) {
            int computed = journal.promptLength() - journal.usage().getCachedTokens();
            worker.learnPrefill((timestampMs - binding.claimedMs) / 1e3, Math.max(1, computed));
        }
        binding.tokensMs = timestampMs;
    }

    boolean hasResult(Request request) {
        return duplicates.hasResult(request.id, request.req);
    }

    /** The request is over and done with. */
    void done(Request request) {
        if (!request.done) {
            request.done = true;
            duplicates.done(request);
            open.remove(request.req);
            fold.release(request.req);
        }
    }

    /** Lowest request that is not done with: a reader may start there. */
    private long requestsFloor() {
        long floor = open.isEmpty() ? requestsPosition : Math.min(requestsPosition, open.firstKey());
        return Math.min(floor, duplicates.lowest());
    }

    void tick() {
        duplicates.tick();
        long now = context.nowMs;
        if (!active()
                || checkpointPending
                || now - checkpointMs < context.config.timing().checkpointEveryMs()) {
            return;
        }
        checkpointMs = now;
        long floor = requestsFloor();
        begins.headMap(floor, false).clear();
        long responses = fold.position();
        for (long begin : begins.values()) {
            responses = Math.min(responses, begin);
        }
        if (floor == checkpoint.getRequestsOffset() && responses <= checkpoint.getResponsesOffset()) {
            return;
        }
        Checkpoint next = Checkpoint.newBuilder()
                .setPartition(number)
                .setRequestsOffset(floor)
                .setResponsesOffset(responses)
                .putAllFairness(context.shares.counters(TENANTS_IN_CHECKPOINT_MAX))
                .setTimeMs(now)
                .build();
        checkpointPending = true;
        fold.raiseFloor(floor);
        context.outbox.append(
                Topic.CHECKPOINTS, number, Integer.toString(number), next.toByteArray(), new Outbox.Outcome() {
                    @Override
                    public void appended(long offset) {
                        checkpointPending = false;
                        checkpoint = next;
                    }

                    @Override
                    public void failed() {
                        checkpointPending = false;
                    }
                });
    }
}
