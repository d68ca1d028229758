package io.millrace.shared.fold;

import io.millrace.shared.fold.JournalFold.Keep;

/** Folds with one rule switched off, for tests that show what the rule is for. */
public final class MutantFolds {

    private MutantFolds() {}

    /** Takes output by its position alone, whoever wrote it. */
    public static PartitionFold withoutAid(Keep keep, long floor, int endedMax) {
        return new PartitionFold(keep, floor, endedMax, new FoldRules(false, true, true));
    }

    /** Takes a claim that comes before its ADMIT. */
    public static PartitionFold withoutAdmitFirst(Keep keep, long floor, int endedMax) {
        return new PartitionFold(keep, floor, endedMax, new FoldRules(true, true, false));
    }

    /** Knows requests by their id alone, and has no floor. */
    public static PartitionFold withoutReq(Keep keep, long floor, int endedMax) {
        return new PartitionFold(keep, floor, endedMax, new FoldRules(true, false, true));
    }
}
