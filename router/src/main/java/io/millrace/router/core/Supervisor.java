package io.millrace.router.core;

import io.millrace.router.core.membership.Worker;
import io.millrace.shared.fold.JournalFold;
import org.jspecify.annotations.Nullable;

/** Judges whether the execution of a request still goes on. Being wrong costs compute, never correctness. */
final class Supervisor {

    static final String WORKER_LOST = "worker_lost";
    /** Tokens of an attempt that still count as its first steps. */
    static final int EARLY_TOKENS = 4;

    /** Why an execution is over; {@code crash}: its process died, perhaps of it. */
    record Loss(String cause, boolean crash) {}

    private static final Loss GAP = new Loss("gap", false);
    private static final Loss YIELD = new Loss("yield", false);
    /** The engine could not run it: counted as a crash, else one that never can would go round for ever. */
    private static final Loss FAULT = new Loss("fault", true);

    private static final Loss LOST = new Loss(WORKER_LOST, true);
    private static final Loss LEFT = new Loss("left", false);
    private static final Loss RESTARTED = new Loss("restarted", true);
    private static final Loss UNDELIVERED = new Loss("undelivered", false);
    private static final Loss UNLISTED = new Loss("unlisted", false);
    private static final Loss UNCLAIMED = new Loss("unclaimed", false);
    /** Its worker's claim did not count, mostly because it overtook the ADMIT. */
    private static final Loss CLAIM_IGNORED = new Loss("claim_ignored", false);

    private final Context context;
    private final Slots slots;

    Supervisor(Context context, Slots slots) {
        this.context = context;
        this.slots = slots;
    }

    /** Why the execution is over; null while it goes on. May send its assignment again. */
    @Nullable
    Loss inspect(Request request, JournalFold journal, Binding binding) {
        if (binding.claimed() && journal.aid().equals(binding.aid)) {
            if (journal.yielded()) {
                return journal.yieldCause().equals("fault") ? FAULT : YIELD;
            }
            if (journal.dead()) {
                return GAP;
            }
        }
        Worker worker = context.workers.find(binding.worker);
        long bound = context.workers.progress().elapsedMs() - binding.sinceMs;
        if (worker != null && worker.retired(binding.incarnation)) {
            return RESTARTED;
        }
        if (worker == null || worker.incarnation() != binding.incarnation) {
            return bound >= context.config.timing().unclaimedAfterMs() ? LOST : null;
        }
        if (!context.workers.live(worker)) {
            return worker.left() ? LEFT : LOST;
        }
        if (binding.refused && !binding.claimed()) {
            return CLAIM_IGNORED;
        }
        if (binding.sendFailed && binding.claimed() && !byRouter(journal)) {
            // The worker has claimed, so the assignment did arrive; under this aid it must not arrive again.
            binding.sendFailed = false;
        }
        if (binding.sendFailed) {
            if (!binding.claimed()) {
                return UNDELIVERED;
            }
            slots.dispatch(request, journal, binding);
            return null;
        }
        return listing(request, journal, binding, worker, bound);
    }

    private @Nullable Loss listing(Request request, JournalFold journal, Binding binding, Worker worker, long boundMs) {
        if (!binding.claimed() && worker.claims(request.partition.number(), request.req)) {
            return unheard(binding);
        }
        boolean byAid = binding.claimed() && worker.lists(binding.aid);
        if (byAid || (journal.attemptTokens() == 0 && worker.lists(request.partition.number(), request.req))) {
            binding.listed = true;
            binding.early = !byAid || worker.early(binding.aid);
            binding.missingMs = -1;
            return null;
        }
        boolean ownSendPending = binding.sent && binding.slotOffset < 0;
        boolean began = binding.listed || journal.attemptTokens() > 0 || (binding.claimed() && !byRouter(journal));
        if (began) {
            if (worker.lastMs() <= Math.max(binding.claimedMs, journal.lastOutputMs())) {
                return null;
            }
            long elapsed = context.workers.progress().elapsedMs();
            if (binding.missingMs < 0) {
                binding.missingMs = elapsed;
            }
            return elapsed - binding.missingMs >= context.config.timing().unlistedAfterMs() ? UNLISTED : null;
        }
        if (ownSendPending || boundMs < context.config.timing().unclaimedAfterMs()) {
            return null;
        }
        if (binding.claimed() && !binding.sent) {
            binding.sinceMs = context.workers.progress().elapsedMs();
            slots.dispatch(request, journal, binding);
            return null;
        }
        return UNCLAIMED;
    }

    /** Its worker says that it has claimed: the claim is on its way, or came before the ADMIT, where this router did not see it. */
    private @Nullable Loss unheard(Binding binding) {
        long elapsed = context.workers.progress().elapsedMs();
        binding.listed = true;
        binding.missingMs = -1;
        if (binding.unheardMs < 0) {
            binding.unheardMs = elapsed;
        }
        return elapsed - binding.unheardMs >= context.config.timing().unclaimedAfterMs() ? CLAIM_IGNORED : null;
    }

    private static boolean byRouter(JournalFold journal) {
        var claim = journal.claim();
        return claim != null && claim.getFence();
    }
}
