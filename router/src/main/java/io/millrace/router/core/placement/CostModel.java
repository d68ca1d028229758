package io.millrace.router.core.placement;

/**
 * Predicted cost of a request on a worker, in seconds: the wait for KV blocks, the prefill in front of it and its own, its
 * output at the pace of a batch one larger, and the delay it means for those that run there.
 */
final class CostModel {

    /** Steps over which a newcomer is taken to slow the others. */
    private static final double SHARED_STEPS = 64;

    private CostModel() {}

    /** @param cached tokens of the prompt that the worker has, by its hints */
    static double seconds(Candidate at, Demand demand, long cached) {
        double step = at.stepS;
        int batch = at.load;
        int places = at.places;
        double uncached = demand.promptTokens() - Math.min(cached, Math.max(0, demand.promptTokens() - 1));
        double marginal = step / Math.max(16, places);
        double own = (at.queuedTokens + uncached) / at.prefillTokensPerS + demand.outputTokens() * (step + marginal);
        double others = batch
                * (marginal * Math.min(demand.outputTokens(), SHARED_STEPS) + 0.5 * uncached / at.prefillTokensPerS);
        return blocksWait(at, demand, uncached) + slotWait(demand, batch, places, step) + own + others;
    }

    /** Time until enough blocks are free, when those that run end at an even pace. */
    private static double blocksWait(Candidate at, Demand demand, double uncached) {
        if (at.blockTokens <= 0 || at.blocksTotal <= 0) {
            return 0;
        }
        double needed = (uncached + demand.outputTokens()) / at.blockTokens;
        double missing = needed - at.blocksFree;
        if (missing <= 0) {
            return 0;
        }
        double used = Math.max(1, at.blocksTotal - at.blocksFree);
        double freedPerS = used / Math.max(at.stepS, demand.outputTokens() * at.stepS);
        return missing / freedPerS;
    }

    /** Time until one of its sequences ends, when all its places are taken. */
    private static double slotWait(Demand demand, int batch, int places, double step) {
        int over = batch + 1 - places;
        return over <= 0 ? 0 : over * demand.outputTokens() * step / places;
    }
}
