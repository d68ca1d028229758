package io.millrace.router.core;

import io.millrace.shared.fold.PartitionFold;
import java.util.List;
import java.util.function.LongFunction;
import java.util.random.RandomGenerator;

/** Routers with one rule of the protocol switched off, and looks inside, for the simulation. */
public final class MutantCores {

    private MutantCores() {}

    public static RouterCore create(
            RouterCoreConfig config,
            RandomGenerator random,
            boolean fences,
            boolean readBack,
            boolean numberByFold,
            boolean derivedAids,
            boolean silenceByLog,
            LongFunction<PartitionFold> folds) {
        return new RouterCore(
                config,
                random,
                new ProtocolRules(fences, readBack, numberByFold, derivedAids, silenceByLog, true, folds::apply));
    }

    /** A router that shares its workers by requests, however many tokens each has. */
    static RouterCore sharingRequests(RouterCoreConfig config, RandomGenerator random) {
        ProtocolRules rules = ProtocolRules.PROTOCOL;
        return new RouterCore(
                config,
                random,
                new ProtocolRules(
                        rules.fences(),
                        rules.readBack(),
                        rules.numberByFold(),
                        rules.derivedAids(),
                        rules.silenceByLog(),
                        false,
                        rules.folds()));
    }

    /** Folds of the partitions for which the router acts. */
    public static List<PartitionFold> folds(RouterCore core, int partition) {
        return core.foldsForTests(partition);
    }
}
