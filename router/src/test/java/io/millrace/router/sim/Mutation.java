package io.millrace.router.sim;

import io.millrace.router.core.MutantCores;
import io.millrace.router.core.RouterCore;
import io.millrace.router.core.RouterCoreConfig;
import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.MutantFolds;
import io.millrace.shared.fold.PartitionFold;
import java.util.random.RandomGenerator;

/** The protocol as it is, and with one rule left out. */
enum Mutation {
    NONE,
    NO_FENCE,
    DERIVED_AIDS,
    DEDUP_BY_POSITION,
    NO_REQ,
    NO_READ_BACK,
    NUMBER_BY_SENT,
    /** Of the oracle's own readers alone: routers fold as they should, so that the two can differ. */
    CLAIM_BEFORE_ADMIT,
    /** A worker that resumes rebuilds nothing from the accepted ids: neither context nor penalties, grammar, stops. */
    RESUME_FROM_PROMPT,
    /** A worker runs an assignment again under an aid that it has run. */
    AID_RUN_AGAIN,
    /** Checkpoints point behind the ADMITs of requests that are open. */
    LATE_CHECKPOINT,
    /** Routers judge the silence of workers by their own clock. */
    SILENCE_BY_CLOCK;

    RouterCore router(RouterCoreConfig config, RandomGenerator random) {
        return MutantCores.create(
                config,
                random,
                this != NO_FENCE,
                this != NO_READ_BACK,
                this != NUMBER_BY_SENT,
                this == DERIVED_AIDS,
                this != SILENCE_BY_CLOCK,
                floor -> (this == CLAIM_BEFORE_ADMIT ? NONE : this).fold(Keep.IDS_AND_TEXT, floor, 64));
    }

    PartitionFold fold(Keep keep, long floor, int endedMax) {
        return switch (this) {
            case DEDUP_BY_POSITION -> MutantFolds.withoutAid(keep, floor, endedMax);
            case NO_REQ -> MutantFolds.withoutReq(keep, floor, endedMax);
            case CLAIM_BEFORE_ADMIT -> MutantFolds.withoutAdmitFirst(keep, floor, endedMax);
            default -> new PartitionFold(keep, floor, endedMax);
        };
    }
}
