package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Rendezvous;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.ServedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** Chooses the worker for a request. Not thread-safe. */
public final class Placement {

    /**
     * The choice.
     *
     * @param cachedTokens prompt tokens the worker is thought to have cached
     */
    public record Choice(Worker worker, ServedModel model, long cachedTokens) {}

    private final RandomGenerator random;
    private final double loadFactor;
    private final double exploration;
    private final double nearTie;
    private final int ahead;

    /**
     * @param loadFactor most load relative to the mean of the candidates
     * @param exploration share of requests placed at random
     * @param nearTie costs within this factor of the lowest are equal
     * @param ahead requests a worker holds beyond those it can run
     */
    public Placement(RandomGenerator random, double loadFactor, double exploration, double nearTie, int ahead) {
        this.random = random;
        this.loadFactor = loadFactor;
        this.exploration = exploration;
        this.nearTie = nearTie;
        this.ahead = ahead;
    }

    /** The worker for it; null when none of these has room. */
    public @Nullable Choice choose(List<Worker> candidates, String modelName, Demand demand) {
        List<Choice> open = open(candidates, modelName, demand);
        if (open.isEmpty()) {
            return null;
        }
        if (open.size() == 1) {
            return open.getFirst();
        }
        if (exploration > 0 && random.nextDouble() < exploration) {
            return open.get(random.nextInt(open.size()));
        }
        double[] costs = new double[open.size()];
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < costs.length; i++) {
            costs[i] = CostModel.seconds(open.get(i).worker(), open.get(i).model(), demand);
            least = Math.min(least, costs[i]);
        }
        long key = demand.prefixHashes().isEmpty()
                ? random.nextLong()
                : demand.prefixHashes().getFirst();
        Choice best = open.getFirst();
        long bestWeight = 0;
        for (int i = 0; i < costs.length; i++) {
            long weight = Rendezvous.weight(open.get(i).worker().id(), key);
            if (costs[i] <= least * nearTie && Long.compareUnsigned(weight, bestWeight) >= 0) {
                best = open.get(i);
                bestWeight = weight;
            }
        }
        return best;
    }

    /** Whether any of these has room. */
    public boolean room(List<Worker> candidates, String modelName) {
        for (Worker worker : candidates) {
            ServedModel model = worker.model(modelName);
            if (model != null && worker.load(model) < capacity(model)) {
                return true;
            }
        }
        return false;
    }

    private int capacity(ServedModel model) {
        return Math.max(1, model.getMaxRunning()) + ahead;
    }

    /** Places for what fills idle time: of eight that run at once one stays free for others, and nothing waits at the worker. */
    private static int idleCapacity(ServedModel model) {
        return Math.max(1, model.getMaxRunning() - Math.max(1, model.getMaxRunning() / 8));
    }

    private List<Choice> open(List<Worker> candidates, String modelName, Demand demand) {
        double sum = 0;
        for (Worker worker : candidates) {
            ServedModel model = worker.model(modelName);
            sum += model == null ? 0 : worker.load(model);
        }
        double most = Math.ceil(loadFactor * (sum + 1) / Math.max(1, candidates.size()));
        List<Choice> open = new ArrayList<>();
        List<Choice> same = new ArrayList<>();
        for (Worker worker : candidates) {
            ServedModel model = worker.model(modelName);
            if (model == null
                    || worker.load(model) >= Math.min(most, demand.idle() ? idleCapacity(model) : capacity(model))) {
                continue;
            }
            if (demand.solo() && worker.hasSolo()) {
                continue;
            }
            Choice choice = new Choice(worker, model, CostModel.cached(model, demand));
            open.add(choice);
            if (demand.numericsId().equals(model.getNumericsId())) {
                same.add(choice);
            }
        }
        return demand.numericsId().isEmpty() || same.isEmpty() ? open : same;
    }
}
