package io.millrace.worker.engine;

import java.util.List;

/**
 * What a step was.
 *
 * @param step number of the step, from 1
 * @param sequences in the batch
 * @param decodeRows rows that were the one id of a decoding sequence
 * @param prefillTokens the other rows
 * @param startNanos of the engine's clock, when the model was called
 * @param durationNanos of the model call, sampling included
 * @param planNanos of planning it
 * @param hostBefore what the step before took beside the model's arithmetic
 * @param kvBlocksUsed referenced by sequences, after the step was planned
 * @param running sequences that hold blocks
 * @param waiting sequences that do not
 * @param preempted sequences that lost their blocks for it
 * @param failed the backend threw
 * @param executions keys of the executions in it, where a listener wanted them; else empty
 */
public record StepReport(
        long step,
        int sequences,
        int decodeRows,
        int prefillTokens,
        long startNanos,
        long durationNanos,
        long planNanos,
        HostTimes hostBefore,
        int kvBlocksUsed,
        int kvBlocksTotal,
        int running,
        int waiting,
        int preempted,
        boolean failed,
        List<String> executions) {}
