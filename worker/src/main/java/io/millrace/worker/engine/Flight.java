package io.millrace.worker.engine;

import io.millrace.worker.backend.StepInputs;
import org.jspecify.annotations.Nullable;

/**
 * A step that was handed to the runtime.
 *
 * @param planned when its planning began, in nanoseconds of the engine's clock
 * @param started when it was handed over
 * @param profiler that is to hear of it
 */
record Flight(
        Step step,
        StepInputs inputs,
        long planned,
        long started,
        StepEvent event,
        @Nullable StepProfiler profiler) {}
