package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Rendezvous;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.ServedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the worker for a request. Of many workers it looks at some only: those with the longest prefixes of the prompt, those that
 * are cheapest or emptiest whatever the request, the favourites of its first chunk, and a few at random; all others only when none of
 * these may take it. Not thread-safe.
 */
public final class Placement {

    /**
     * The choice.
     *
     * @param cachedTokens prompt tokens the worker is thought to have cached
     */
    public record Choice(Worker worker, ServedModel model, long cachedTokens) {}

    /**
     * How to choose.
     *
     * @param loadFactor most load relative to its share of the whole pool's, by capacity
     * @param exploration share of requests placed at random
     * @param nearTie costs within this factor of the lowest are equal
     */
    public record Rules(Policy policy, double loadFactor, double exploration, double nearTie) {

        public static final Rules DEFAULT = new Rules(Policy.COST, 1.25, 0.01, 1.05);
    }

    private final Fleet fleet;
    private final RandomGenerator random;
    private final Rules rules;
    private final List<Candidate> looked = new ArrayList<>();
    private final List<Candidate> fit = new ArrayList<>();
    private long decision;
    private long looks;
    private int turn;

    /** @param seeds of exploration and of choices among equals */
    public Placement(Fleet fleet, RandomGenerator seeds, Rules rules) {
        this.fleet = fleet;
        this.random = new SplittableRandom(seeds.nextLong());
        this.rules = rules;
    }

    /** Whether any worker has room for requests of these weights. */
    public boolean room(String model, long weightsHash) {
        Pool pool = fleet.pool(model, weightsHash);
        return pool != null && pool.hasRoom(false);
    }

    /** Workers looked at so far, for all choices together. */
    public long looks() {
        return looks;
    }

    /** The worker for it; null when none that serves these weights may take it. */
    public @Nullable Choice choose(String model, long weightsHash, Demand demand) {
        Pool pool = fleet.pool(model, weightsHash);
        if (pool == null || !pool.hasRoom(demand.idle())) {
            return null;
        }
        decision++;
        looked.clear();
        fit.clear();
        Candidate chosen = rules.policy() == Policy.COST ? byCost(pool, demand) : inTurn(pool, demand);
        return chosen == null ? null : new Choice(chosen.worker, chosen.model, cached(chosen, demand));
    }

    private static long cached(Candidate chosen, Demand demand) {
        return Math.min(chosen.cached, Math.max(0, demand.promptTokens() - 1));
    }

    private @Nullable Candidate byCost(Pool pool, Demand demand) {
        List<Long> hashes = demand.prefixHashes();
        long key = hashes.isEmpty() ? random.nextLong() : hashes.getFirst();
        look(pool, hashes, key);
        keepFit(pool, demand);
        if (fit.isEmpty() || (pool.mixes(demand.numericsId()) && !fitsNumerics(demand))) {
            for (Candidate each : pool.members()) {
                look(each, hashes, true);
            }
            keepFit(pool, demand);
        }
        if (pool.mixes(demand.numericsId()) && fitsNumerics(demand)) {
            fit.removeIf(each -> !each.model.getNumericsId().equals(demand.numericsId()));
        }
        if (fit.size() < 2) {
            return fit.isEmpty() ? null : fit.getFirst();
        }
        if (rules.exploration() > 0 && random.nextDouble() < rules.exploration()) {
            return fit.get(random.nextInt(fit.size()));
        }
        return cheapest(demand, key);
    }

    private void look(Pool pool, List<Long> hashes, long key) {
        boolean complete = hashes.isEmpty()
                || fleet.prefixes().find(hashes, random, (worker, tokens) -> {
                    Candidate holder = pool.of(worker);
                    return holder != null && look(holder, tokens);
                });
        if (pool.size() <= Pool.WHOLE_MAX) {
            for (Candidate each : pool.members()) {
                look(each, hashes, !complete);
            }
        } else {
            pool.likely(key, random, each -> look(each, hashes, !complete));
        }
    }

    private void look(Candidate each, List<Long> hashes, boolean mayHavePrefix) {
        if (each.decision != decision) {
            look(each, mayHavePrefix ? fleet.prefixes().cached(each.worker, hashes) : 0);
        }
    }

    /** False when it has been looked at already. */
    private boolean look(Candidate each, int cached) {
        if (each.decision == decision) {
            return false;
        }
        each.decision = decision;
        each.cached = cached;
        looked.add(each);
        looks++;
        return true;
    }

    private void keepFit(Pool pool, Demand demand) {
        fit.clear();
        for (Candidate each : looked) {
            if (each.hasRoom(demand.idle())
                    && each.load < pool.most(each, rules.loadFactor())
                    && !(demand.solo() && each.worker.hasSolo())) {
                fit.add(each);
            }
        }
    }

    private boolean fitsNumerics(Demand demand) {
        return fit.stream().anyMatch(each -> each.model.getNumericsId().equals(demand.numericsId()));
    }

    /**
     * The lowest cost; of those about equal the one with most of the prompt cached, which leaves the others least to compute; of these the
     * first by rendezvous hash, so that equal prefixes meet.
     */
    private Candidate cheapest(Demand demand, long key) {
        double[] costs = new double[fit.size()];
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < costs.length; i++) {
            costs[i] = CostModel.seconds(fit.get(i), demand, fit.get(i).cached);
            least = Math.min(least, costs[i]);
        }
        Candidate best = fit.getFirst();
        long bestCached = 0;
        long bestWeight = 0;
        for (int i = 0; i < costs.length; i++) {
            Candidate each = fit.get(i);
            if (costs[i] > least * rules.nearTie() || each.cached < bestCached) {
                continue;
            }
            long weight = Rendezvous.weight(each.worker.id(), key);
            if (each.cached > bestCached || Long.compareUnsigned(weight, bestWeight) >= 0) {
                best = each;
                bestCached = each.cached;
                bestWeight = weight;
            }
        }
        return best;
    }

    /** The next that has room, or of all that have it the least loaded. */
    private @Nullable Candidate inTurn(Pool pool, Demand demand) {
        List<Candidate> members = pool.members();
        Candidate best = null;
        int from = rules.policy() == Policy.ROUND_ROBIN ? turn : random.nextInt(members.size());
        for (int i = 0; i < members.size(); i++) {
            Candidate each = members.get((from + i) % members.size());
            look(each, demand.prefixHashes(), true);
            if (!each.hasRoom(demand.idle()) || (demand.solo() && each.worker.hasSolo())) {
                continue;
            }
            if (rules.policy() == Policy.ROUND_ROBIN) {
                turn = (each.at + 1) % members.size();
                return each;
            }
            best = best == null || each.utilization() < best.utilization() ? each : best;
        }
        return best;
    }
}
