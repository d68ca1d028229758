package io.millrace.worker.engine;

/** Hears of every step, for metrics and traces. Called on the output thread, in order; must not block. */
public interface StepListener {

    StepListener NONE = report -> {};

    void onStep(StepReport report);

    /** Whether the report of that step shall name its executions. Called on the engine's thread. */
    default boolean wantsExecutions(long step) {
        return false;
    }
}
