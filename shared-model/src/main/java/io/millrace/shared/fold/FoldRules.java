package io.millrace.shared.fold;

/**
 * Rules that the simulation switches off, one at a time, to show that its oracle misses them. Only this package makes one.
 *
 * @param checkAid output counts only under the current aid; off: whatever fits the position does
 * @param checkReq a journal is one (id, req); off: records of one id share a journal, and a reader has no floor
 * @param admitFirst nothing before ADMIT or REJECT counts; off: a claim may come before
 */
record FoldRules(boolean checkAid, boolean checkReq, boolean admitFirst) {

    static final FoldRules PROTOCOL = new FoldRules(true, true, true);
}
