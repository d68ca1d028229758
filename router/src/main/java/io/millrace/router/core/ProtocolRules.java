package io.millrace.router.core;

import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.PartitionFold;

/**
 * Rules of the protocol that the simulation switches off, one at a time, to show that its oracle misses them. Production has
 * no way to make another than {@link #PROTOCOL}.
 *
 * @param fences a repeat goes through a router CLAIM; off: the worker claims for itself
 * @param readBack a fence counts when it is read back; off: when it is sent
 * @param numberByFold the next attempt is the fold's current + 1; off: one more than was sent last
 * @param derivedAids aids are a function of (id, attempt); the protocol draws them
 * @param silenceByLog a node is silent by the log's own progress; off: by the router's clock
 * @param sharesTokens tenants share by tokens; off: by requests
 * @param folds makes the fold of a partition from a request floor
 */
record ProtocolRules(
        boolean fences,
        boolean readBack,
        boolean numberByFold,
        boolean derivedAids,
        boolean silenceByLog,
        boolean sharesTokens,
        FoldFactory folds) {

    /** Journals that a partition's fold keeps, as counts, after their requests are done with. */
    static final int ENDED_MAX = 64;

    static final ProtocolRules PROTOCOL = new ProtocolRules(
            true, true, true, false, true, true, floor -> new PartitionFold(Keep.IDS_AND_TEXT, floor, ENDED_MAX));

    /** Makes a fold that starts at a request floor. */
    interface FoldFactory {
        PartitionFold create(long floor);
    }
}
