package io.millrace.router.core;

import io.millrace.router.core.placement.Placement;
import java.util.Map;

/**
 * Settings of one router.
 *
 * @param node this router's id in {@code members}
 * @param incarnation random 64 bits of this process
 * @param partitions partitions of {@code requests} (and of {@code responses}, {@code results}, {@code checkpoints})
 * @param knownIdsMax ids of ended requests known for each partition, by which a later one is told from a first one
 */
public record RouterCoreConfig(
        String node,
        long incarnation,
        int partitions,
        Timing timing,
        Queueing queueing,
        Placement.Rules placing,
        PoisonLimits poison,
        int knownIdsMax) {

    /** The defaults of docs/configuration.md. */
    public static RouterCoreConfig defaults(String node, long incarnation, int partitions) {
        return new RouterCoreConfig(
                node,
                incarnation,
                partitions,
                Timing.DEFAULT,
                Queueing.DEFAULT,
                Placement.Rules.DEFAULT,
                PoisonLimits.DEFAULT,
                100_000);
    }

    public RouterCoreConfig with(Timing other) {
        return new RouterCoreConfig(node, incarnation, partitions, other, queueing, placing, poison, knownIdsMax);
    }

    public RouterCoreConfig with(Queueing other) {
        return new RouterCoreConfig(node, incarnation, partitions, timing, other, placing, poison, knownIdsMax);
    }

    public RouterCoreConfig with(Placement.Rules other) {
        return new RouterCoreConfig(node, incarnation, partitions, timing, queueing, other, poison, knownIdsMax);
    }

    public RouterCoreConfig with(PoisonLimits other) {
        return new RouterCoreConfig(node, incarnation, partitions, timing, queueing, placing, other, knownIdsMax);
    }

    public RouterCoreConfig withKnownIdsMax(int ids) {
        return new RouterCoreConfig(node, incarnation, partitions, timing, queueing, placing, poison, ids);
    }

    /**
     * @param beatMs period of own beats in {@code members} and {@code workers}
     * @param suspectAfterMs silence, by the log's own time, after which a node is suspected
     * @param unclaimedAfterMs time an assignment may stay without claim when its worker does not list it
     * @param unlistedAfterMs time a worker's beats may leave out a running attempt
     * @param detachGraceMs time a request lives on without a client; 0: none
     * @param modelGoneAfterMs time an admitted request waits for a worker with its weights
     * @param noWorkerAfterMs time a request waits unadmitted for any worker of its model, before 503 (or 404)
     * @param deadlineMaxMs longest deadline after creation; a later one is cut to it
     * @param deadlineBackstopMs time after the deadline that a worker has to end the request itself
     * @param checkpointEveryMs shortest time between two checkpoints of a partition
     * @param retryMs pause before a failed append is tried again
     */
    public record Timing(
            long beatMs,
            long suspectAfterMs,
            long unclaimedAfterMs,
            long unlistedAfterMs,
            long detachGraceMs,
            long modelGoneAfterMs,
            long noWorkerAfterMs,
            long deadlineMaxMs,
            long deadlineBackstopMs,
            long checkpointEveryMs,
            long retryMs) {

        public static final Timing DEFAULT =
                new Timing(250, 1_000, 2_000, 600, 30_000, 60_000, 10_000, 1_800_000, 1_500, 1_000, 100);

        public Timing withDetachGraceMs(long ms) {
            return new Timing(
                    beatMs,
                    suspectAfterMs,
                    unclaimedAfterMs,
                    unlistedAfterMs,
                    ms,
                    modelGoneAfterMs,
                    noWorkerAfterMs,
                    deadlineMaxMs,
                    deadlineBackstopMs,
                    checkpointEveryMs,
                    retryMs);
        }

        public Timing withNoWorkerAfterMs(long ms) {
            return new Timing(
                    beatMs,
                    suspectAfterMs,
                    unclaimedAfterMs,
                    unlistedAfterMs,
                    detachGraceMs,
                    modelGoneAfterMs,
                    ms,
                    deadlineMaxMs,
                    deadlineBackstopMs,
                    checkpointEveryMs,
                    retryMs);
        }
    }

    /**
     * @param queuedPerTenantMax most requests of a tenant that wait here for one model; beyond them: 429
     * @param ageingMs waiting time that lifts a request by one priority
     * @param aheadOfWorker requests a worker holds beyond those it can run at once
     * @param tenantWeights share of a tenant relative to 1, the share of one not named
     */
    public record Queueing(
            int queuedPerTenantMax, long ageingMs, int aheadOfWorker, Map<String, Double> tenantWeights) {

        public static final Queueing DEFAULT = new Queueing(2_048, 20_000, 2, Map.of());

        /** Most requests of all tenants that wait here for one model: one tenant alone leaves places to the others. */
        int queuedMax() {
            return 2 * queuedPerTenantMax;
        }
    }

    /**
     * @param soloCrashesMax crashes while it ran alone, at which a request fails
     * @param crashesMax crashes in all, at which a request fails
     */
    public record PoisonLimits(int soloCrashesMax, int crashesMax) {

        public static final PoisonLimits DEFAULT = new PoisonLimits(2, 3);
    }
}
