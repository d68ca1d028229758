package io.millrace.router.core;

import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;

/** Closes requests whose journal has ended: stops what still runs, settles the accounts, writes the result. */
final class Finisher {

    private final Context context;
    private final Slots slots;

    Finisher(Context context, Slots slots) {
        this.context = context;
        this.slots = slots;
    }

    void finish(Request request, JournalFold journal) {
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
        TraceContext trace = request.submit.getTrace();
        context.outbox.append(
                Topic.RESULTS, request.partition.number(), request.id, value, trace, new Outbox.Outcome() {
                    @Override
                    public void appended(long offset) {
                        request.resultPosition = offset + 1;
                        request.partition.done(request);
                    }

                    @Override
                    public void failed() {
                        request.resultPending = false;
                        request.retryAtMs =
                                context.nowMs + context.config.timing().retryMs();
                    }
                });
    }

    /**
     * A poisonous request leaves a dead letter once its FAIL stands, so one whose worker was quicker leaves none. A new owner
     * writes it again when it cannot know that it is written: readers see it at least once.
     */
    private void deadLetter(Request request) {
        if (request.partition.hasResult(request)) {
            return;
        }
        byte[] value = Results.deadLetter(request, request.totalBlame(), request.cause, context.nowMs)
                .toByteArray();
        context.outbox.append(Topic.DEAD_LETTERS, 0, request.id, value, request.submit.getTrace(), Outbox.Outcome.NONE);
        context.outbox.observe(new RouterEvent.DeadLettered(request.id, request.model(), request.cause));
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
                context.release(binding);
                if (!byWorker) {
                    slots.cancel(request, binding, "ended");
                }
            }
        }
        request.binding = null;
        request.lost = null;
        if (last != null
                && last.hasFail()
                && last.getFail().getAid().isEmpty()
                && last.getFail().getCode().equals(Endings.POISON)) {
            deadLetter(request);
        }
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
        if (request.charged > 0 && context.rules.sharesTokens()) {
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
