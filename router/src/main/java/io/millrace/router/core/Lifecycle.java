package io.millrace.router.core;

import io.millrace.router.core.failover.Blame;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.queue.ModelQueue;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Claim;
import java.util.List;

/**
 * Takes a request one step further, whatever has changed: {@link #advance} looks at the fold, at the worker, at the clock,
 * and may be called at any time.
 */
final class Lifecycle {

    private final Context context;
    private final Admission admission;
    private final Slots slots;
    private final Supervisor supervisor;
    private final Endings endings;
    private final Finisher finisher;

    Lifecycle(Context context, JournalWriter writer, Admission admission, Slots slots) {
        this.context = context;
        this.admission = admission;
        this.slots = slots;
        this.supervisor = new Supervisor(context, slots);
        this.endings = new Endings(context, writer);
        this.finisher = new Finisher(context, slots);
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
            finisher.finish(request, journal);
            return;
        }
        if (request.pending != null) {
            return;
        }
        forgive(request, journal);
        if (context.nowMs < request.retryAtMs || endings.endIfDue(request, journal)) {
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
                context.release(before);
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
        if (request.lost != null) {
            request.previousAid = request.lost.aid;
        }
        request.lost = null;
        request.blame = Blame.NONE;
        request.forgiven = Blame.NONE;
        if (!request.ownAids.contains(claim.getAid())) {
            request.suspicions.clear();
        }
        request.cause = "";
        JournalFold journal = request.journal;
        if (journal != null && claim.getFence() && !binding.sent && request.ownAids.contains(claim.getAid())) {
            slots.dispatch(request, journal, binding);
        }
    }

    /** A worker claimed too late, too early, or for nothing: it shall stop. */
    void refused(Request request, Claim claim) {
        JournalFold journal = request.journal;
        if (claim.getFence() || (journal != null && journal.aid().equals(claim.getAid()))) {
            return;
        }
        slots.cancel(request, claim.getSlot(), claim.getIncarnation(), claim.getAid(), "lost_claim");
        Binding binding = request.binding;
        if (binding != null
                && !binding.claimed()
                && binding.worker.equals(claim.getWorker())
                && binding.incarnation == claim.getIncarnation()) {
            binding.refused = true;
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
                new Binding.Prompt(
                        Estimates.promptTokens(request.submit, context.stats.bytesPerToken(request.model())),
                        0,
                        request.submit.getPrefixHashList()),
                claim.getSolo(),
                context.workers.progress().elapsedMs());
        binding.startedMs = context.nowMs;
        context.hold(binding);
        return binding;
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
            context.hold(lost);
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

    /** Takes back what a silence was counted for, once that very process is heard again: it did not die. */
    private void forgive(Request request, JournalFold journal) {
        if (request.suspicions.isEmpty()) {
            return;
        }
        for (Request.Suspicion each : List.copyOf(request.suspicions)) {
            Worker worker = context.workers.find(each.worker());
            if (worker == null
                    || worker.incarnation() != each.incarnation()
                    || worker.lastMs() <= each.lastMs()
                    || !context.workers.live(worker)) {
                continue;
            }
            request.suspicions.remove(each);
            Blame one = Blame.NONE.crash(each.solo());
            if (each.attempt() == journal.attempt()) {
                request.blame = request.blame.minus(one);
            } else {
                request.forgiven = request.forgiven.plus(one);
            }
        }
    }

    private void drop(Request request, JournalFold journal, Binding binding, Supervisor.Loss loss) {
        if (loss.crash() && (binding.listed ? binding.early : journal.attemptTokens() < Supervisor.EARLY_TOKENS)) {
            request.blame = request.blame.crash(binding.solo);
            if (loss.cause().equals(Supervisor.WORKER_LOST)) {
                Worker worker = context.workers.find(binding.worker);
                long lastMs = worker == null || worker.incarnation() != binding.incarnation ? -1 : worker.lastMs();
                request.suspicions.add(new Request.Suspicion(
                        binding.worker, binding.incarnation, binding.solo, journal.attempt(), lastMs));
            }
        }
        context.release(binding);
        request.binding = null;
        request.lost = binding;
        request.cause = loss.cause();
        context.outbox.observe(new RouterEvent.AttemptLost(
                request.id,
                request.model(),
                binding.worker,
                binding.attempt,
                binding.aid,
                loss.cause(),
                journal.attemptTokens(),
                binding.startedMs,
                context.nowMs,
                request.submit.getTrace()));
    }
}
