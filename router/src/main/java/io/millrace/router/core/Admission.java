package io.millrace.router.core;

import io.millrace.router.core.placement.Fleet;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Reject;
import io.millrace.shared.proto.Submit;

/** Begins journals: ADMIT for what may run, REJECT for what may not. */
final class Admission {

    private static final long RETRY_AFTER_MIN_MS = 1_000;
    private static final long RETRY_AFTER_MAX_MS = 60_000;
    private static final long RETRY_AFTER_UNKNOWN_MS = 10_000;

    private final Context context;
    private final JournalWriter writer;
    private final Dispatcher dispatcher;
    private long readyMs = -1;

    Admission(Context context, JournalWriter writer, Dispatcher dispatcher) {
        this.context = context;
        this.writer = writer;
        this.dispatcher = dispatcher;
    }

    /** From now on the workers are known as far as the log knows them. */
    void ready() {
        if (readyMs < 0) {
            readyMs = context.nowMs;
        }
    }

    /** Decides on a request whose journal has not begun; may leave it for later. */
    void decide(Request request) {
        if (readyMs < 0) {
            return;
        }
        if (request.partition.hasResult(request)) {
            // Its journal is past its retention: it ended long ago.
            request.partition.done(request);
            return;
        }
        Submit submit = request.submit;
        long deadlineMs = request.deadlineMs(context.config.timing().deadlineMaxMs());
        if (context.nowMs >= deadlineMs) {
            reject(request, 504, "deadline_exceeded", 0, "The deadline passed before the request could start.");
            return;
        }
        if (submit.getN() > JournalFold.CHOICES_MAX) {
            reject(
                    request,
                    400,
                    "too_many_choices",
                    0,
                    "n is %d, at most %d.".formatted(submit.getN(), JournalFold.CHOICES_MAX));
            return;
        }
        Fleet.Offer offer = context.fleet.offer(submit.getModel());
        if (offer == null) {
            withoutWorker(request);
            return;
        }
        if (full(request, offer.model().getName())) {
            return;
        }
        Admit.Builder admit = Admit.newBuilder()
                .setFoldVersion(JournalFold.VERSION)
                .setTenant(submit.getTenant())
                .setModel(offer.model().getName())
                .setWeightsHash(offer.weightsHash())
                .setTokenizerHash(offer.model().getTokenizerHash())
                .setDeadlineMs(deadlineMs)
                .setCreatedMs(submit.getCreatedMs())
                .setN(Math.max(1, submit.getN()));
        if (submit.hasTrace()) {
            admit.setTrace(submit.getTrace());
        }
        request.admittedHere = true;
        writer.append(request, JournalRecord.newBuilder().setAdmit(admit), null);
        dispatcher.sendOn(request, admit.build());
    }

    /** Whether there is no place in the model's queue for it; then it is rejected. */
    private boolean full(Request request, String model) {
        int queued = context.queues.size(model);
        String tenant = request.submit.getTenant();
        int own = queued < context.config.queueing().queuedPerTenantMax() ? 0 : context.queues.size(model, tenant);
        if (queued < context.config.queueing().queuedMax()
                && own < context.config.queueing().queuedPerTenantMax()) {
            return false;
        }
        reject(
                request,
                429,
                "queue_full",
                retryAfterMs(model),
                "%d requests wait for model %s already, %d of them yours."
                        .formatted(queued, request.submit.getModel(), context.queues.size(model, tenant)));
        return true;
    }

    private void withoutWorker(Request request) {
        String model = request.submit.getModel();
        boolean known = context.workers.known(model);
        boolean othersLive = !context.workers.models().isEmpty();
        long waited = context.nowMs - Math.max(readyMs, request.submittedMs);
        if (!known && othersLive) {
            reject(request, 404, "model_not_found", 0, "The model '%s' does not exist.".formatted(model));
        } else if (waited >= context.config.timing().noWorkerAfterMs()) {
            if (known) {
                reject(request, 503, "no_worker", 5_000, "No worker for model '%s' is running.".formatted(model));
            } else {
                reject(
                        request,
                        404,
                        "model_not_found",
                        0,
                        "The model '%s' does not exist: no worker is running.".formatted(model));
            }
        } else {
            request.retryAtMs = context.nowMs + context.config.timing().retryMs();
        }
    }

    /** When the queue will have drained, by the rate at which tokens ended of late. */
    long retryAfterMs(String model) {
        double rate = context.stats.drainRate(model, context.nowMs);
        long ms = rate <= 0 ? RETRY_AFTER_UNKNOWN_MS : (long) (context.queues.tokens(model) / rate * 1_000);
        return Math.clamp(ms, RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS);
    }

    private void reject(Request request, int status, String code, long retryAfterMs, String message) {
        Reject reject = Reject.newBuilder()
                .setStatus(status)
                .setCode(code)
                .setRetryAfterMs(retryAfterMs)
                .setMessage(message)
                .build();
        writer.append(request, JournalRecord.newBuilder().setReject(reject), null);
    }
}
