package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.ServedModel;

/** A worker as one of those that may run a model, with what its cost is computed from as it was when last measured. Not thread-safe. */
final class Candidate {

    /** Rates of a worker that has not measured its own. */
    private static final double PREFILL_TOKENS_PER_S = 1_000;

    private static final double DECODE_STEP_S = 0.03;

    /** The request by which candidates are compared before one is known. */
    private static final Demand TYPICAL = new Demand(512, 128, java.util.List.of(), "", false, false);

    final Worker worker;
    ServedModel model;
    int load;
    /** Most it is given. */
    int capacity;
    /** Most it is given of what fills idle time. */
    int idleCapacity;

    int places;
    int blockTokens;
    int blocksTotal;
    int blocksFree;
    double prefillTokensPerS;
    double stepS;
    long queuedTokens;
    /** Of the typical request, in seconds. */
    double cost;

    /** Where it stands in its pool's list. */
    int at;

    /** The last decision that looked at it, and the prompt tokens that it had cached then. */
    long decision;

    long cached;

    Candidate(Worker worker, ServedModel model) {
        this.worker = worker;
        this.model = model;
    }

    /**
     * Takes it as it is now.
     *
     * @param ahead requests a worker is given beyond those it can run
     */
    void measure(int ahead) {
        load = worker.load(model);
        places = Math.max(1, model.getMaxRunning());
        blockTokens = model.getBlockTokens();
        blocksTotal = model.getKvBlocksTotal();
        blocksFree = model.getKvBlocksFree();
        capacity = places + ahead;
        // Of eight that run at once one stays free for others, and nothing waits at the worker.
        idleCapacity = Math.max(1, model.getMaxRunning() - Math.max(1, model.getMaxRunning() / 8));
        double rate = worker.prefillTokensPerS(model);
        prefillTokensPerS = rate > 0 ? rate : PREFILL_TOKENS_PER_S;
        double step = worker.stepS(model);
        stepS = step > 0 ? step : DECODE_STEP_S;
        queuedTokens = model.getQueuedPrefillTokens() + worker.promptTokensInFlight(model);
        cost = CostModel.seconds(this, TYPICAL, 0);
    }

    boolean hasRoom(boolean idle) {
        return load < (idle ? idleCapacity : capacity);
    }

    double utilization() {
        return (double) load / capacity;
    }
}
