package io.millrace.router;

import io.millrace.router.core.RouterCoreConfig;
import io.millrace.router.core.RouterCoreConfig.PoisonLimits;
import io.millrace.router.core.RouterCoreConfig.Queueing;
import io.millrace.router.core.RouterCoreConfig.Timing;
import io.millrace.router.core.placement.Placement;
import io.millrace.router.core.placement.Policy;
import java.time.Duration;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Configuration {@code millrace.router.*}. What is left out has the default named here.
 *
 * @param node this router's name in {@code members}; default {@code router-} and a few random digits
 * @param beatInterval between its heartbeats; default 200 ms
 * @param suspectAfter silence of a node, by the log's own time, after which it is suspected; default 1 s
 * @param detachGrace how long a request without a client lives on; 0 ends it at once; default 30 s
 * @param noWorkerAfter how long a request waits for any worker of its model before 503; default 10 s
 * @param modelGoneAfter how long an admitted request waits for a worker with its weights; default 60 s
 * @param queuedPerTenantMax most requests of a tenant that wait for one model, beyond them 429; of all tenants twice as many; default 2,048
 * @param ageing waiting time that lifts a request by one priority; default 20 s
 * @param aheadOfWorker requests a worker is given beyond those it can run at once; default 2
 * @param placement how a worker is chosen: cost (predicted, with cached prefixes), least-loaded or round-robin; default cost
 * @param tenantWeights share of a tenant relative to 1, the share of those not named; default none
 * @param soloCrashesMax crashes of a worker that ran nothing else, at which a request fails; default 2
 * @param crashesMax crashes in all, at which a request fails; default 3
 * @param knownIdsMax ids of ended requests known for each partition, by which requests with the same key are one; default 100,000
 */
public record RouterProperties(
        @Nullable String node,
        @Nullable Duration beatInterval,
        @Nullable Duration suspectAfter,
        @Nullable Duration detachGrace,
        @Nullable Duration noWorkerAfter,
        @Nullable Duration modelGoneAfter,
        @Nullable Integer queuedPerTenantMax,
        @Nullable Duration ageing,
        @Nullable Integer aheadOfWorker,
        @Nullable Policy placement,
        @Nullable Map<String, Double> tenantWeights,
        @Nullable Integer soloCrashesMax,
        @Nullable Integer crashesMax,
        @Nullable Integer knownIdsMax) {

    /** The defaults. */
    public static RouterProperties defaults() {
        return new RouterProperties(null, null, null, null, null, null, null, null, null, null, null, null, null, null);
    }

    public RouterProperties withNode(String name) {
        return new RouterProperties(
                name,
                beatInterval,
                suspectAfter,
                detachGrace,
                noWorkerAfter,
                modelGoneAfter,
                queuedPerTenantMax,
                ageing,
                aheadOfWorker,
                placement,
                tenantWeights,
                soloCrashesMax,
                crashesMax,
                knownIdsMax);
    }

    public RouterProperties withDetachGrace(Duration grace) {
        return new RouterProperties(
                node,
                beatInterval,
                suspectAfter,
                grace,
                noWorkerAfter,
                modelGoneAfter,
                queuedPerTenantMax,
                ageing,
                aheadOfWorker,
                placement,
                tenantWeights,
                soloCrashesMax,
                crashesMax,
                knownIdsMax);
    }

    /**
     * The core's settings.
     *
     * @param incarnation random 64 bits of this process
     * @param partitions of {@code requests}
     * @param deadlineMax longest life of a request
     */
    public RouterCoreConfig core(long incarnation, int partitions, Duration deadlineMax) {
        Timing timing = Timing.DEFAULT;
        Queueing queueing = Queueing.DEFAULT;
        PoisonLimits poison = PoisonLimits.DEFAULT;
        Placement.Rules rules = Placement.Rules.DEFAULT;
        String name = node == null || node.isEmpty()
                ? "router-" + "%016x".formatted(incarnation).substring(0, 6)
                : node;
        RouterCoreConfig defaults = RouterCoreConfig.defaults(name, incarnation, partitions);
        return defaults.with(new Timing(
                        ms(beatInterval, 200),
                        ms(suspectAfter, timing.suspectAfterMs()),
                        timing.unclaimedAfterMs(),
                        timing.unlistedAfterMs(),
                        ms(detachGrace, timing.detachGraceMs()),
                        ms(modelGoneAfter, timing.modelGoneAfterMs()),
                        ms(noWorkerAfter, timing.noWorkerAfterMs()),
                        deadlineMax.toMillis(),
                        timing.deadlineBackstopMs(),
                        timing.checkpointEveryMs(),
                        timing.retryMs()))
                .with(new Queueing(
                        or(queuedPerTenantMax, queueing.queuedPerTenantMax()),
                        ms(ageing, queueing.ageingMs()),
                        or(aheadOfWorker, queueing.aheadOfWorker()),
                        tenantWeights == null ? Map.of() : Map.copyOf(tenantWeights)))
                .with(new Placement.Rules(
                        placement == null ? rules.policy() : placement,
                        rules.loadFactor(),
                        rules.exploration(),
                        rules.nearTie()))
                .with(new PoisonLimits(
                        or(soloCrashesMax, poison.soloCrashesMax()), or(crashesMax, poison.crashesMax())))
                .withKnownIdsMax(or(knownIdsMax, defaults.knownIdsMax()));
    }

    private static long ms(@Nullable Duration given, long otherwise) {
        return given == null ? otherwise : given.toMillis();
    }

    private static int or(@Nullable Integer given, int otherwise) {
        return given == null ? otherwise : given;
    }
}
