package io.millrace.worker.engine;

import io.millrace.worker.backend.OpCosts;
import java.util.List;

/**
 * A step that was profiled; times are the engine's clock's nanoseconds.
 *
 * @param plannedNanos when planning began
 * @param calledNanos when the model was called
 * @param returnedNanos when it came back
 * @param bookedNanos when its tokens were handed out
 * @param ops empty when the backend tells of none
 */
public record ProfiledStep(
        long step,
        int sequences,
        int decodeRows,
        int prefillTokens,
        long plannedNanos,
        long calledNanos,
        long returnedNanos,
        long bookedNanos,
        List<Ran> ops) {

    /** Ops that ran as one, on one thread or with all. */
    public record Ran(String name, int lane, int rows, long startNanos, long nanos, OpCosts.Work work) {}
}
