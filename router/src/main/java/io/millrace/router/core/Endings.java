package io.millrace.router.core;

import io.millrace.router.core.failover.Blame;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;

/** Writes the ends that are the router's to write: CANCEL and FAIL, each a fence that is repeated until one is accepted. */
final class Endings {

    /** Code of the FAIL of a request that ended its workers. */
    static final String POISON = "poison";

    private final Context context;
    private final JournalWriter writer;

    Endings(Context context, JournalWriter writer) {
        this.context = context;
        this.writer = writer;
    }

    /** Ends what must end: cancelled, left alone, too late, poisonous, or without a model. */
    boolean endIfDue(Request request, JournalFold journal) {
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
            fail(request, journal, 500, POISON, "The request ended %d workers.".formatted(blame.crashes()));
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
        if (context.fleet.serves(key.model(), key.weightsHash())) {
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
}
