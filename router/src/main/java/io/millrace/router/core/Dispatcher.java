package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.router.core.failover.Blame;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.placement.Demand;
import io.millrace.router.core.placement.Placement;
import io.millrace.router.core.queue.ModelQueue;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.JournalRecord;
import java.util.List;
import java.util.Map;

/** Lets requests out of the queues, as late as keeps the workers busy: one step ahead of what they can run. */
final class Dispatcher {

    private final Context context;
    private final JournalWriter writer;
    private final Slots slots;

    Dispatcher(Context context, JournalWriter writer, Slots slots) {
        this.context = context;
        this.writer = writer;
        this.slots = slots;
    }

    void pump() {
        for (Map.Entry<Queues.Key, ModelQueue<Request>> each :
                List.copyOf(context.queues.all().entrySet())) {
            pump(each.getKey(), each.getValue());
        }
    }

    private void pump(Queues.Key key, ModelQueue<Request> queue) {
        while (queue.size() > 0 && context.placement.room(key.model(), key.weightsHash())) {
            ModelQueue.Waiting<Request> next = queue.peek(context.nowMs);
            if (next == null) {
                return;
            }
            Request request = next.item();
            JournalFold journal = request.journal;
            if (journal == null || journal.terminal() || request.pending != null || !request.partition.active()) {
                context.queues.remove(request);
                context.touch(request);
                continue;
            }
            Demand demand = new Demand(
                    Estimates.promptTokens(request.submit, context.stats.bytesPerToken(key.model()))
                            + journal.acceptedTotal(),
                    Estimates.outputTokens(request.submit, context.stats.outputTokens(key.model())),
                    request.submit.getPrefixHashList(),
                    journal.acceptedTotal() > 0 || !journal.outputsEnded().isEmpty() ? journal.numericsId() : "",
                    key.solo(),
                    idle(request) && request.cause.isEmpty() && !request.dispatchedOnce);
            Placement.Choice choice = context.placement.choose(key.model(), key.weightsHash(), demand);
            if (choice == null) {
                return;
            }
            context.queues.remove(request);
            send(request, journal, choice, demand);
        }
    }

    /**
     * Sends a request on whose ADMIT has just been appended, without waiting for its read-back, if it is the first time, nobody waits for
     * the model and a worker has room. The journal decides, as ever, whether the worker's claim counts.
     */
    void sendOn(Request request, Admit admit) {
        if (request.dispatchedOnce || context.queues.size(admit.getModel()) > 0) {
            return;
        }
        Demand demand = new Demand(
                Estimates.promptTokens(request.submit, context.stats.bytesPerToken(admit.getModel())),
                Estimates.outputTokens(request.submit, context.stats.outputTokens(admit.getModel())),
                request.submit.getPrefixHashList(),
                "",
                false,
                idle(request));
        Placement.Choice choice = context.placement.choose(admit.getModel(), admit.getWeightsHash(), demand);
        if (choice != null) {
            request.queuedMs = context.nowMs;
            request.lastSentAttempt = 1;
            request.dispatchedOnce = true;
            request.binding = bind(request, admit.getModel(), choice, demand, 1, ByteString.EMPTY);
            slots.first(request, admit, request.binding);
        }
    }

    private static boolean idle(Request request) {
        return request.submit.getPriority() == ModelQueue.BAND_BATCH;
    }

    private void send(Request request, JournalFold journal, Placement.Choice choice, Demand demand) {
        boolean again = journal.attempt() > 0 || request.dispatchedOnce || !request.admittedHere;
        int attempt = context.rules.numberByFold() ? journal.attempt() + 1 : request.lastSentAttempt + 1;
        request.lastSentAttempt = attempt;
        boolean fence = again && context.rules.fences();
        ByteString aid = fence ? context.aid(request.id, attempt) : ByteString.EMPTY;
        Binding binding = bind(request, request.model(), choice, demand, attempt, aid);
        if (!fence) {
            request.dispatchedOnce = true;
            request.binding = binding;
            slots.dispatch(request, journal, binding);
            return;
        }
        request.ownAids.add(binding.aid);
        writer.append(request, JournalRecord.newBuilder().setClaim(claim(request, journal, choice, binding)), binding);
        context.outbox.observe(
                new RouterEvent.Fenced(request.id, request.model(), attempt, request.cause, context.nowMs));
        if (!context.rules.readBack()) {
            request.binding = binding;
            slots.dispatch(request, journal, binding);
        }
    }

    /** Books the attempt with its worker and its tenant. */
    private Binding bind(
            Request request, String model, Placement.Choice choice, Demand demand, int attempt, ByteString aid) {
        Worker worker = choice.worker();
        Binding binding = new Binding(
                worker.id(),
                worker.incarnation(),
                worker.slot(),
                attempt,
                aid,
                model,
                new Binding.Prompt(demand.promptTokens(), choice.cachedTokens(), demand.prefixHashes()),
                demand.solo(),
                context.workers.progress().elapsedMs());
        binding.startedMs = context.nowMs;
        worker.sent(binding);
        charge(request, demand);
        context.outbox.observe(new RouterEvent.Routed(
                request.id,
                model,
                worker.id(),
                attempt,
                request.queuedMs,
                context.nowMs,
                (int) choice.cachedTokens(),
                request.submit.getTrace()));
        return binding;
    }

    private Claim claim(Request request, JournalFold journal, Placement.Choice choice, Binding binding) {
        Blame blame = request.totalBlame();
        Claim.Builder claim = Claim.newBuilder()
                .setAttempt(binding.attempt)
                .setAid(binding.aid)
                .setWorker(binding.worker)
                .setIncarnation(binding.incarnation)
                .setSlot(binding.slot)
                .setWeightsHash(journal.admit().getWeightsHash())
                .setTokenizerHash(choice.model().getTokenizerHash())
                .setNumericsId(choice.model().getNumericsId())
                .setPromptLength(journal.promptLength())
                .setPromptHash(journal.promptHash())
                .setCause(request.cause.isEmpty() ? "rebuilt" : request.cause)
                .setBlamed(blame.crashes())
                .setBlamedSolo(blame.solo())
                .setSolo(binding.solo)
                .setFence(true);
        if (request.submit.hasTrace()) {
            claim.setTrace(request.submit.getTrace());
        }
        return claim.build();
    }

    private void charge(Request request, Demand demand) {
        if (request.charged == 0) {
            request.charged = context.rules.sharesTokens() ? demand.promptTokens() + demand.outputTokens() : 1;
            context.shares.charge(request.submit.getTenant(), request.charged);
        }
    }
}
