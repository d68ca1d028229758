package io.millrace.router.core.queue;

import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/**
 * Virtual token counters: who has had least of its share comes next (VTC, "Fairness in Serving Large Language Models", Sheng
 * and others, OSDI 2024). A tenant that comes back from idleness starts at the least of the waiting ones, so idleness saves up
 * nothing. Not thread-safe.
 */
public final class FairShare {

    /** Tenants remembered; beyond them the ones with the least service are forgotten. */
    private static final int TENANTS_MAX = 10_000;

    private final Map<String, Double> served = new HashMap<>();
    private final Map<String, Double> weights;

    /** @param weights share of a tenant relative to 1, the share of one not named */
    public FairShare(Map<String, Double> weights) {
        this.weights = Map.copyOf(weights);
    }

    /** Virtual tokens the tenant has had. */
    public double served(String tenant) {
        return served.getOrDefault(tenant, 0.0);
    }

    /** Adds tokens; negative ones give back what was estimated too high. */
    public void charge(String tenant, double tokens) {
        served.merge(tenant, tokens / Math.max(1e-6, weights.getOrDefault(tenant, 1.0)), Double::sum);
        if (served.size() > TENANTS_MAX) {
            double mean = served.values().stream().mapToDouble(v -> v).average().orElse(0);
            served.values().removeIf(v -> v < mean);
        }
    }

    /** Lifts a tenant that starts to wait to the least of those who wait already. */
    public void lift(String tenant, Collection<String> waiting) {
        double least = Double.POSITIVE_INFINITY;
        for (String other : waiting) {
            least = Math.min(least, served(other));
        }
        if (least < Double.POSITIVE_INFINITY && served(tenant) < least) {
            served.put(tenant, least);
        }
    }

    /** Takes over the counters of a checkpoint, where they are higher. */
    public void merge(Map<String, Double> counters) {
        counters.forEach((tenant, value) -> served.merge(tenant, value, Math::max));
    }

    /** The tenants with the most service, at most so many: the others lose little when they are forgotten. */
    public Map<String, Double> counters(int most) {
        if (served.size() <= most) {
            return Map.copyOf(served);
        }
        Map<String, Double> top = new HashMap<>();
        served.entrySet().stream()
                .sorted(Map.Entry.<String, Double>comparingByValue().reversed())
                .limit(most)
                .forEach(entry -> top.put(entry.getKey(), entry.getValue()));
        return top;
    }
}
