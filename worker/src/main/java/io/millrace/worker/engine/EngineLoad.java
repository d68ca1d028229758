package io.millrace.worker.engine;

/**
 * What an engine has to do, at a moment.
 *
 * @param queuedPrefillTokens prompt tokens not computed yet, of waiting and running
 * @param prefillTokensPerS learned; 0 unknown
 * @param decodeStepS seconds of a recent decode step; 0 unknown
 */
public record EngineLoad(
        int running,
        int waiting,
        int maxRunning,
        int kvBlocksTotal,
        int kvBlocksFree,
        int blockTokens,
        long queuedPrefillTokens,
        double prefillTokensPerS,
        double decodeStepS,
        long steps,
        long preemptions,
        long prefixQueries,
        long prefixHits,
        long generatedTokens) {}
