package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** The profile that an engine records, one at a time. Confined to the engine's thread. */
final class Profiling {

    private final String model;
    private final ModelRuntime runtime;
    private @Nullable StepProfiler current;

    Profiling(String model, ModelRuntime runtime) {
        this.model = model;
        this.runtime = runtime;
    }

    /** Null when nothing is recorded. */
    @Nullable
    StepProfiler current() {
        return current;
    }

    /** Records the next steps; 0: ends the recording that runs, with what it has. MR-PROF-002 when one runs already. */
    void record(int count, CompletableFuture<List<ProfiledStep>> done) {
        if (count == 0) {
            end();
            done.complete(List.of());
        } else if (current != null) {
            done.completeExceptionally(new MillraceException(
                    "MR-PROF-002", "A profile of " + model + " is being recorded. Wait until it is done."));
        } else {
            begin(count, done);
        }
    }

    private void begin(int count, CompletableFuture<List<ProfiledStep>> done) {
        try {
            current = new StepProfiler(runtime, count, done);
        } catch (MillraceException e) {
            done.completeExceptionally(e);
        }
    }

    /** A step has run and is booked; one that began under another recording, or none, is not recorded. */
    void ran(Flight flight, long number, long returned, long booked) {
        StepProfiler its = flight.profiler();
        if (its != null
                && its == current
                && its.add(
                        flight.step(), number, flight.inputs(), flight.planned(), flight.started(), returned, booked)) {
            current = null;
        }
    }

    /** Ends the recording, if there is one, with what it has. */
    void end() {
        if (current != null) {
            current.end();
            current = null;
        }
    }
}
