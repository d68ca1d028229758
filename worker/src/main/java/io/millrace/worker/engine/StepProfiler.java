package io.millrace.worker.engine;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.OpProbe;
import io.millrace.worker.backend.StepInputs;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.jspecify.annotations.Nullable;

/** Records the next steps of an engine. Confined to the engine's thread, but for the probe. */
final class StepProfiler implements OpProbe {

    private record Time(int[] ops, int lane, int rows, long startNanos, long nanos) {}

    private final ModelRuntime runtime;
    private final int wanted;
    private final CompletableFuture<List<ProfiledStep>> done;
    private final List<ProfiledStep> steps = new ArrayList<>();
    private final Queue<Time> times = new ConcurrentLinkedQueue<>();

    StepProfiler(ModelRuntime runtime, int wanted, CompletableFuture<List<ProfiledStep>> done) {
        this.runtime = runtime;
        this.wanted = wanted;
        this.done = done;
        runtime.probe(this);
    }

    @Override
    public void ran(int[] ops, int lane, int rows, long startNanos, long nanos) {
        times.add(new Time(ops, lane, rows, startNanos, nanos));
    }

    /** A step has run; true when it was the last that is wanted, and the recording has ended. */
    boolean add(Step step, long number, StepInputs inputs, long planned, long called, long returned, long booked) {
        @Nullable OpCosts costs = runtime.costs();
        List<ProfiledStep.Ran> ran = new ArrayList<>();
        for (Time time = times.poll(); time != null; time = times.poll()) {
            if (costs != null) {
                ran.add(new ProfiledStep.Ran(
                        costs.name(time.ops()),
                        time.lane(),
                        time.rows(),
                        time.startNanos(),
                        time.nanos(),
                        costs.of(time.ops(), time.rows(), inputs)));
            }
        }
        steps.add(new ProfiledStep(
                number,
                step.parts().size(),
                step.decodeRows(),
                step.rows() - step.decodeRows(),
                planned,
                called,
                returned,
                booked,
                List.copyOf(ran)));
        if (steps.size() < wanted) {
            return false;
        }
        end();
        return true;
    }

    /** Ends the recording with what there is. */
    void end() {
        runtime.probe(null);
        done.complete(List.copyOf(steps));
    }
}
