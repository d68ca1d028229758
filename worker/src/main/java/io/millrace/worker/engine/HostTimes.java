package io.millrace.worker.engine;

/**
 * What a step took beside the model's arithmetic, in nanoseconds of the engine's thread. Listeners are not in it: they are called while the next
 * step runs.
 *
 * @param planNanos planning, and laying out the inputs
 * @param drawNanos handing the step over, and choosing its ids
 * @param bookNanos ids into text, the rules of where an answer ends, and handing both out
 * @param totalNanos all of it, reports and figures too
 */
public record HostTimes(long planNanos, long drawNanos, long bookNanos, long totalNanos) {

    /** Not known: the runtime does not tell its arithmetic. */
    public static final HostTimes NONE = new HostTimes(0, 0, 0, 0);
}
