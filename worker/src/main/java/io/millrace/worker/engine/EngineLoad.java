package io.millrace.worker.engine;

/**
 * What an engine has to do, at a moment.
 *
 * @param running sequences that hold KV blocks
 * @param waiting sequences that do not, and executions that the engine has not looked at
 * @param kvBlocksFree blocks that no sequence holds (what they cache may be given up)
 * @param queuedPrefillTokens prompt tokens not computed yet, of waiting and running
 * @param prefillTokensPerS learned; 0 unknown
 * @param decodeStepS seconds of a recent decode step; 0 unknown
 * @param prefixQueries ids of admitted sequences
 * @param prefixHits those of them that were in the prefix cache
 * @param host what is kept there, and what came there
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
        long generatedTokens,
        Host host) {

    /**
     * The side of the host.
     *
     * @param blocks of a group's pool for preempted sequences
     * @param used of them, by sequences that wait
     * @param swappedOut blocks that were copied there, of all groups
     * @param swappedIn blocks that were copied back
     * @param blockSeconds that a block of every group takes there and back, as measured when the model was loaded
     * @param copiedRows logit rows that had to be copied from a device's memory
     */
    public record Host(int blocks, int used, long swappedOut, long swappedIn, double blockSeconds, long copiedRows) {

        public static final Host NONE = new Host(0, 0, 0, 0, 0, 0);
    }

    EngineLoad withMoreWaiting(int more) {
        return new EngineLoad(
                running,
                waiting + more,
                maxRunning,
                kvBlocksTotal,
                kvBlocksFree,
                blockTokens,
                queuedPrefillTokens,
                prefillTokensPerS,
                decodeStepS,
                steps,
                preemptions,
                prefixQueries,
                prefixHits,
                generatedTokens,
                host);
    }
}
