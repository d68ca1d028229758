package io.millrace.worker.engine;

/** Hears of every step, for metrics and traces. Called on the output thread, in order; must not block. */
public interface StepListener {

    StepListener NONE = report -> {};

    void onStep(StepReport report);
}
