package io.millrace.router.core;

import io.millrace.router.core.failover.Blame;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.queue.ModelQueue;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.topic.Topic;

/**
 * Takes a request one step further, whatever has changed: {@link #advance} looks at the fold, at the worker, at the clock,
 * and may be called at any time.
 */
final class Lifecycle {

    private final Context context;
    private final JournalWriter writer;
    private final Admission admission;
    private final Slots slots;
    private final Supervisor supervisor;

    Lifecycle(Context context, JournalWriter writer, Admission admission, Slots slots) {
        this.context = context;
        this.writer = writer;
        this.admission = admission;
        this.slots = slots;
        this.supervisor = new Supervisor(context, slots);
    }

    void advance(Request request) {
        if (request.done || !request.partition.active()) {
            return;
        }
        JournalFold journal = request.journal;
        if (journal == null) {
            if (request.pending == null && context.nowMs >= request.retryAtMs) {
                admission.decide(request);
            }
            return;
        }
        if (journal.terminal()) {
            finish(request, journal);
            return;
        }
        if (request.pending != null || context.nowMs < request.retryAtMs || endIfDue(request, journal)) {
            return;
        }
        Binding binding = request.binding;
        if (binding == null) {
            seek(request, journal);
            return;
        }
        Supervisor.Loss loss = supervisor.inspect(request, journal, binding);
        if (loss != null) {
            drop(request, journal, binding, loss);
            advance(request);
        }
    }

    /** The journal has a new accepted claim: from here on only that execution counts. */
    void claimed(Request request, Claim claim, long timestampMs) {
        Binding binding = null;
        for (Binding before : new Binding[] {request.binding, request.lost}) {
            if (before == null) {
                continue;
            }
            boolean itself = before.worker.equals(claim.getWorker()) && before.incarnation == claim.getIncarnation();
            if (before.aid.equals(claim.getAid()) || (itself && !before.claimed() && !claim.getFence())) {
                binding = before;
            } else {
                slots.cancel(request, before, "fenced");
                release(before);
            }
        }
        Request.Pending pending = request.pending;
        if (binding == null && pending != null && pending.target != null) {
            binding = pending.target.aid.equals(claim.getAid()) ? pending.target : null;
        }
        if (binding == null) {
            binding = bind(request, claim);
        }
        context.queues.remove(request);
        binding.aid = claim.getAid();
        binding.claimedMs = timestampMs;
        request.binding = binding;
        request.lost = null;
        request.blame = Blame.NONE;
        request.cause = "";
        JournalFold journal = request.journal;
        if (journal != null && claim.getFence() && !binding.sent && request.ownAids.contains(claim.getAid())) {
            slots.dispatch(request, journal, binding);
        }
    }

    /** A worker claimed too late, or for nothing: it shall stop. */
    void refused(Request request, Claim claim) {
        JournalFold journal = request.journal;
        if (!claim.getFence() && (journal == null || !journal.aid().equals(claim.getAid()))) {
            slots.cancel(request, claim.getSlot(), claim.getIncarnation(), claim.getAid(), "lost_claim");
        }
    }

    private Binding bind(Request request, Claim claim) {
        Binding binding = new Binding(
                claim.getWorker(),
                claim.getIncarnation(),
                claim.getSlot(),
                claim.getAttempt(),
                claim.getAid(),
                request.model(),
                Estimates.promptTokens(request.submit),
                claim.getSolo(),
                context.workers.progress().elapsedMs());
        binding.startedMs = context.nowMs;
        hold(binding);
        return binding;
    }

    private void hold(Binding binding) {
        Worker worker = context.workers.find(binding.worker);
        if (worker != null && worker.incarnation() == binding.incarnation) {
            worker.sent(binding);
        }
    }

    private void release(Binding binding) {
        Worker worker = context.workers.find(binding.worker);
        if (worker != null) {
            worker.over(binding);
        }
    }

    /** Nobody is known to run it: finds who does, or lets it wait for a worker. */
    private void seek(Request request, JournalFold journal) {
        if (request.queued) {
            returnOfTheLost(request, journal);
            return;
        }
        Claim claim = journal.claim();
        Binding lost = request.lost;
        if (claim != null && journal.running() && (lost == null || !lost.aid.equals(claim.getAid()))) {
            Binding binding = bind(request, claim);
            binding.claimedMs = journal.claimMs();
            request.binding = binding;
            request.dispatchedOnce = true;
            Worker worker = context.workers.find(claim.getWorker());
            if (claim.getFence() && journal.attemptTokens() == 0 && worker != null && !worker.lists(claim.getAid())) {
                slots.dispatch(request, journal, binding);
            }
            return;
        }
        if (journal.attempt() == 0 && lost == null && !request.admittedHere && adoptListed(request)) {
            return;
        }
        if (request.cause.isEmpty() && claim != null) {
            request.cause = journal.dead() ? "gap" : journal.yielded() ? "yield" : "";
        }
        enqueue(request);
    }

    /** After a rebuild: an assignment without a record may be with a worker, which then lists it. */
    private boolean adoptListed(Request request) {
        for (Worker worker : context.workers.all()) {
            if (context.workers.live(worker) && worker.lists(request.partition.number(), request.req)) {
                Claim as = Claim.newBuilder()
                        .setAttempt(1)
                        .setWorker(worker.id())
                        .setIncarnation(worker.incarnation())
                        .setSlot(worker.slot())
                        .build();
                request.binding = bind(request, as);
                request.dispatchedOnce = true;
                return true;
            }
        }
        return false;
    }

    /** Suspicion was wrong, and no fence has been written yet: the execution goes on as before. */
    private void returnOfTheLost(Request request, JournalFold journal) {
        Binding lost = request.lost;
        if (lost == null || !request.cause.equals(Supervisor.WORKER_LOST)) {
            return;
        }
        Worker worker = context.workers.find(lost.worker);
        boolean same = lost.claimed() ? journal.running() && journal.aid().equals(lost.aid) : journal.attempt() == 0;
        if (same
                && worker != null
                && context.workers.live(worker)
                && worker.incarnation() == lost.incarnation
                && (lost.claimed() ? worker.lists(lost.aid) : worker.lists(request.partition.number(), request.req))) {
            context.queues.remove(request);
            request.binding = lost;
            request.lost = null;
            request.blame = Blame.NONE;
            request.cause = "";
            lost.missingMs = -1;
            hold(lost);
        }
    }

    private void enqueue(Request request) {
        request.queued = true;
        request.queuedMs = context.nowMs;
        boolean again = request.dispatchedOnce || !request.cause.isEmpty();
        long tokens = Math.max(1, request.submit.getEstimatedTokens());
        context.queues
                .of(Queues.key(request))
                .add(
                        request,
                        request.submit.getTenant(),
                        again ? ModelQueue.BAND_RESUME : request.submit.getPriority(),
                        request.deadlineMs(context.config.timing().deadlineMaxMs()),
                        tokens,
                        context.nowMs);
        context.outbox.observe(new RouterEvent.Queued(
                request.id, request.model(), request.submit.getTenant(), request.cause, context.nowMs));
    }

    private void drop(Request request, JournalFold journal, Binding binding, Supervisor.Loss loss) {
        if (loss.crash() && (binding.listed ? binding.early : journal.attemptTokens() < Supervisor.EARLY_TOKENS)) {
            request.blame = request.blame.crash(binding.solo);
        }
        release(binding);
        request.binding = null;
        request.lost = binding;
        request.cause = loss.cause();
        context.outbox.observe(new RouterEvent.AttemptLost(
                request.id,
                request.model(),
                binding.worker,
                binding.attempt,
                loss.cause(),
                journal.attemptTokens(),
                binding.startedMs,
                context.nowMs,
                request.submit.getTrace()));
    }

    /** Ends what must end: cancelled, left alone, too late, poisonous, or without a model. */
    private boolean endIfDue(Request request, JournalFold journal) {
        RouterCoreConfig.Timing timing = context.config.timing();
        String cancel = request.cancelCause;
        if (cancel == null
                && request.detachedMs >= 0
                && !request.submit.getBackground()
                && context.nowMs - request.detachedMs >= timing.detachGraceMs()) {
            cancel = "disconnected";
        }
        if (cancel != null) {
            Cancel record = Cancel.newBuilder()
                    .setAttempt(nextAttempt(request, journal))
                    .setCause(cancel)
                    .build();
            writer.append(request, JournalRecord.newBuilder().setCancel(record), null);
            return true;
        }
        long deadlineMs = request.deadlineMs(timing.deadlineMaxMs());
        long graceMs = request.binding == null ? 0 : timing.deadlineBackstopMs();
        if (context.nowMs >= deadlineMs + graceMs) {
            fail(request, journal, 504, "deadline_exceeded", "The deadline passed before the answer was complete.");
            return true;
        }
        Blame blame = request.totalBlame();
        RouterCoreConfig.PoisonLimits limits = context.config.poison();
        if (request.binding == null && blame.poison(limits.soloCrashesMax(), limits.crashesMax())) {
            deadLetter(request, blame);
            fail(request, journal, 500, "poison", "The request ended %d workers.".formatted(blame.crashes()));
            return true;
        }
        if (request.binding == null && modelGone(request)) {
            fail(
                    request,
                    journal,
                    503,
                    "model_replaced",
                    "No worker has the model any more that admitted the request.");
            return true;
        }
        return false;
    }

    private boolean modelGone(Request request) {
        Queues.Key key = Queues.key(request);
        if (!context.workers.candidates(key.model(), key.weightsHash()).isEmpty()) {
            request.offeredMs = context.nowMs;
            return false;
        }
        request.offeredMs = request.offeredMs < 0 ? context.nowMs : request.offeredMs;
        return context.nowMs - request.offeredMs >= context.config.timing().modelGoneAfterMs();
    }

    private void fail(Request request, JournalFold journal, int status, String code, String message) {
        Fail record = Fail.newBuilder()
                .setAttempt(nextAttempt(request, journal))
                .setStatus(status)
                .setCode(code)
                .setMessage(message)
                .build();
        writer.append(request, JournalRecord.newBuilder().setFail(record), null);
    }

    private int nextAttempt(Request request, JournalFold journal) {
        if (context.rules.numberByFold()) {
            return journal.attempt() + 1;
        }
        request.lastSentAttempt = request.lastSentAttempt + 1;
        return request.lastSentAttempt;
    }

    private void deadLetter(Request request, Blame blame) {
        if (request.deadLettered) {
            return;
        }
        request.deadLettered = true;
        byte[] value =
                Results.deadLetter(request, blame, request.cause, context.nowMs).toByteArray();
        context.outbox.append(Topic.DEAD_LETTERS, 0, request.id, value, Outbox.Outcome.NONE);
        context.outbox.observe(new RouterEvent.DeadLettered(request.id, request.model(), request.cause));
    }

    private void finish(Request request, JournalFold journal) {
        if (!request.ended) {
            request.ended = true;
            ended(request, journal);
        }
        if (journal.rejected() || !Results.due(request) || request.partition.hasResult(request)) {
            request.partition.done(request);
        } else if (!request.resultPending && context.nowMs >= request.retryAtMs) {
            writeResult(request, journal);
        }
    }

    private void writeResult(Request request, JournalFold journal) {
        request.resultPending = true;
        byte[] value = Results.of(request, journal).toByteArray();
        context.outbox.append(Topic.RESULTS, request.partition.number(), request.id, value, new Outbox.Outcome() {
            @Override
            public void appended(long offset) {
                request.partition.done(request);
            }

            @Override
            public void failed() {
                request.resultPending = false;
                request.retryAtMs = context.nowMs + context.config.timing().retryMs();
            }
        });
    }

    private void ended(Request request, JournalFold journal) {
        context.queues.remove(request);
        JournalRecord last = journal.terminalRecord();
        boolean byWorker = last != null
                && (last.hasEnd()
                        || last.hasRefuse()
                        || (last.hasFail() && !last.getFail().getAid().isEmpty()));
        for (Binding binding : new Binding[] {request.binding, request.lost}) {
            if (binding != null) {
                release(binding);
                if (!byWorker) {
                    slots.cancel(request, binding, "ended");
                }
            }
        }
        request.binding = null;
        request.lost = null;
        if (!journal.admitted()) {
            context.outbox.observe(new RouterEvent.Rejected(
                    request.id,
                    request.submit.getModel(),
                    last == null ? 0 : last.getReject().getStatus(),
                    last == null ? "" : last.getReject().getCode()));
            return;
        }
        int completion = journal.acceptedTotal();
        long tokens = journal.promptLength() + (long) completion;
        if (request.charged > 0) {
            context.shares.charge(request.submit.getTenant(), tokens - (double) request.charged);
        }
        if (last != null && last.hasEnd()) {
            context.stats.ended(request.model(), tokens, completion / Math.max(1, journal.choices()), context.nowMs);
        }
        context.outbox.observe(new RouterEvent.Ended(
                request.id,
                request.model(),
                request.submit.getTenant(),
                Results.status(journal),
                journal.attempt(),
                journal.promptLength(),
                completion,
                journal.beginMs(),
                journal.endMs()));
    }
}
