package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.ServedModel;
import java.util.List;

/**
 * Predicted cost of a request on a worker, in seconds: the wait for KV blocks, the prefill in front of it and its own, its
 * output at the pace of a batch one larger, and the delay it means for those that run there.
 */
final class CostModel {

    /** Rates of a worker that has not measured its own. */
    private static final double PREFILL_TOKENS_PER_S = 1_000;

    private static final double DECODE_STEP_S = 0.03;
    /** Steps over which a newcomer is taken to slow the others. */
    private static final double SHARED_STEPS = 64;

    private CostModel() {}

    /** Tokens of the prompt that the worker has cached, by its hints. */
    static long cached(ServedModel model, Demand demand) {
        List<Long> hashes = demand.prefixHashes();
        if (hashes.isEmpty()) {
            return 0;
        }
        long best = 0;
        for (PrefixHint hint : model.getPrefixHintsList()) {
            if (hint.getTokens() > best && hashes.contains(hint.getHash())) {
                best = hint.getTokens();
            }
        }
        return Math.min(best, Math.max(0, demand.promptTokens() - 1));
    }

    static double seconds(Worker worker, ServedModel model, Demand demand) {
        double prefillRate =
                worker.prefillTokensPerS(model) > 0 ? worker.prefillTokensPerS(model) : PREFILL_TOKENS_PER_S;
        double step = worker.stepS(model) > 0 ? worker.stepS(model) : DECODE_STEP_S;
        int batch = worker.load(model);
        double uncached = demand.promptTokens() - cached(model, demand);
        double queued = model.getQueuedPrefillTokens() + worker.promptTokensInFlight(model);
        double marginal = step / Math.max(16, model.getMaxRunning());
        double own = (queued + uncached) / prefillRate + demand.outputTokens() * (step + marginal);
        double others =
                batch * (marginal * Math.min(demand.outputTokens(), SHARED_STEPS) + 0.5 * uncached / prefillRate);
        return blocksWait(model, demand, uncached, step) + slotWait(model, demand, batch, step) + own + others;
    }

    /** Time until enough blocks are free, when those that run end at an even pace. */
    private static double blocksWait(ServedModel model, Demand demand, double uncached, double step) {
        if (model.getBlockTokens() <= 0 || model.getKvBlocksTotal() <= 0) {
            return 0;
        }
        double needed = (uncached + demand.outputTokens()) / model.getBlockTokens();
        double missing = needed - model.getKvBlocksFree();
        if (missing <= 0) {
            return 0;
        }
        double used = Math.max(1, model.getKvBlocksTotal() - model.getKvBlocksFree());
        double freedPerS = used / Math.max(step, demand.outputTokens() * step);
        return missing / freedPerS;
    }

    /** Time until one of its sequences ends, when all its places are taken. */
    private static double slotWait(ServedModel model, Demand demand, int batch, double step) {
        int over = batch + 1 - Math.max(1, model.getMaxRunning());
        return over <= 0 ? 0 : over * demand.outputTokens() * step / Math.max(1, model.getMaxRunning());
    }
}
