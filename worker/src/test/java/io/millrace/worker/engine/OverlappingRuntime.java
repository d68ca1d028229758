package io.millrace.worker.engine;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SamplingRow;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A runtime whose steps overlap as a device's do: what a step gives, or throws, shows when it is collected. Notes what it is asked. */
final class OverlappingRuntime extends ForwardingRuntime {

    private static final int MOST = 2;

    private record Flying(
            @Nullable StepOutputs outputs, @Nullable RuntimeException failure) {}

    final List<String> calls = new ArrayList<>();
    private final Consumer<StepInputs> beforeRun;
    private final Deque<Flying> flying = new ArrayDeque<>();
    private int most;

    OverlappingRuntime(ModelRuntime runtime, Consumer<StepInputs> beforeRun) {
        super(runtime);
        this.beforeRun = beforeRun;
    }

    /** Most steps that were under way together. */
    int most() {
        return most;
    }

    @Override
    public boolean overlaps() {
        return true;
    }

    @Override
    public boolean feeds(SamplingRow row) {
        return true;
    }

    @Override
    public void submit(StepInputs inputs) {
        if (flying.size() == MOST) {
            throw new AssertionError("a third step was submitted");
        }
        calls.add("submit " + inputs.rows());
        try {
            beforeRun.accept(inputs);
            flying.add(new Flying(runtime.run(inputs), null));
        } catch (RuntimeException e) {
            flying.add(new Flying(null, e));
        }
        most = Math.max(most, flying.size());
    }

    @Override
    public StepOutputs collect() {
        calls.add("collect");
        Flying first = flying.remove();
        if (first.failure() != null) {
            flying.clear();
            throw first.failure();
        }
        return Objects.requireNonNull(first.outputs());
    }

    @Override
    public StepOutputs run(StepInputs inputs) {
        submit(inputs);
        return collect();
    }
}
