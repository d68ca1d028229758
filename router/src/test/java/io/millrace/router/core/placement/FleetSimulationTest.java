package io.millrace.router.core.placement;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** What placement brings about over many requests, in virtual time. */
class FleetSimulationTest {

    private static final int REQUESTS = 2_000;
    private static final int PREFIXES = 24;
    /** Of four workers together those that 1.5 times all prefixes have. */
    private static final int CACHE_CHUNKS = PREFIXES * 20 * 3 / 2 / 4;

    private static final double PER_S = 20;

    private static FleetSimulation shared(Policy policy) {
        FleetSimulation simulation = new FleetSimulation(policy, 4, CACHE_CHUNKS, 64, 7);
        simulation.run(REQUESTS, PREFIXES, PER_S);
        return simulation;
    }

    @Test
    void requestsGoWhereTheirPrefixIsAndSoGetTheirFirstTokenSooner() {
        FleetSimulation cost = shared(Policy.COST);
        FleetSimulation turn = shared(Policy.ROUND_ROBIN);
        FleetSimulation least = shared(Policy.LEAST_LOADED);
        System.out.printf("%s%n%s%n%s%n", cost, turn, least);
        String all = "cost: %s; round robin: %s; least loaded: %s".formatted(cost, turn, least);
        assertThat(cost.hitRate()).as(all).isGreaterThan(0.8).isGreaterThan(1.5 * turn.hitRate());
        assertThat(cost.hitRate()).as(all).isGreaterThan(1.5 * least.hitRate());
        assertThat(cost.firstTokenMs(50)).as(all).isLessThan(0.5 * turn.firstTokenMs(50));
        assertThat(cost.firstTokenMs(99))
                .as(all)
                .isLessThan(turn.firstTokenMs(99))
                .isLessThan(least.firstTokenMs(99));
    }

    @Test
    void oneSharedPrefixDoesNotDrawAllRequestsToOneWorker() {
        FleetSimulation simulation = new FleetSimulation(Policy.COST, 4, CACHE_CHUNKS, 64, 8);
        simulation.run(REQUESTS, 1, 60);
        assertThat(simulation.served().values())
                .as(simulation.toString())
                .allSatisfy(served -> assertThat(served).isBetween(REQUESTS / 4 * 6 / 10, REQUESTS / 4 * 14 / 10));
        assertThat(simulation.hitRate()).isGreaterThan(0.9);
    }

    @Test
    void aWorkerThatDrainsOrFallsSilentGetsNothingMoreHoweverWarm() {
        FleetSimulation simulation = new FleetSimulation(Policy.COST, 4, CACHE_CHUNKS, 64, 9);
        simulation.run(400, 4, PER_S);
        FleetSimulation.Node drains = simulation.nodes.get(0);
        FleetSimulation.Node silent = simulation.nodes.get(1);
        drains.draining = true;
        simulation.silence(silent);
        // Silence takes a second of the log to be noticed.
        simulation.run(40, 4, PER_S);
        int drained = drains.served;
        int last = silent.served;
        simulation.run(400, 4, PER_S);
        assertThat(drained).isPositive();
        assertThat(last).isPositive();
        assertThat(drains.served).isEqualTo(drained);
        assertThat(silent.served).isEqualTo(last);
    }

    @Test
    void ofAThousandWorkersAFewAreLookedAtForEachRequest() {
        FleetSimulation simulation = new FleetSimulation(Policy.COST, 1_000, 100, 64, 10);
        simulation.run(12_000, 200, 10_000);
        assertThat(simulation.mostLooks)
                .isPositive()
                .isLessThanOrEqualTo(PrefixIndex.FOUND_MAX + PrefixIndex.HOLDERS_MAX + Pool.LIKELY_MAX);
        System.out.println(simulation);
        assertThat(simulation.hitRate()).as(simulation.toString()).isGreaterThan(0.6);
    }

    @Test
    void theIndexForgetsWhatNobodyHas() {
        FleetSimulation simulation = new FleetSimulation(Policy.COST, 4, 40, 64, 11);
        simulation.run(400, PREFIXES, PER_S);
        assertThat(simulation.fleet.prefixes().size()).isBetween(1, PREFIXES * 20);
        simulation.nodes.forEach(node -> node.cache.clear());
        // One prefix is left: that of the requests that follow.
        simulation.run(400, 1, PER_S);
        assertThat(simulation.fleet.prefixes().size()).isEqualTo(20);
    }
}
