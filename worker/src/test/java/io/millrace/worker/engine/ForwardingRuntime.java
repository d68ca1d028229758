package io.millrace.worker.engine;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.OpProbe;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SamplingRow;
import org.jspecify.annotations.Nullable;

/** Another runtime, but for what a subclass does otherwise. */
abstract class ForwardingRuntime implements ModelRuntime {

    final ModelRuntime runtime;

    ForwardingRuntime(ModelRuntime runtime) {
        this.runtime = runtime;
    }

    @Override
    public KvLayout kvLayout() {
        return runtime.kvLayout();
    }

    @Override
    public int vocabularySize() {
        return runtime.vocabularySize();
    }

    @Override
    public StepOutputs run(StepInputs inputs) {
        return runtime.run(inputs);
    }

    @Override
    public boolean overlaps() {
        return runtime.overlaps();
    }

    @Override
    public boolean feeds(SamplingRow row) {
        return runtime.feeds(row);
    }

    @Override
    public void submit(StepInputs inputs) {
        runtime.submit(inputs);
    }

    @Override
    public StepOutputs collect() {
        return runtime.collect();
    }

    @Override
    public void copyBlocks(int group, int[] from, int[] to) {
        runtime.copyBlocks(group, from, to);
    }

    @Override
    public void swapOut(int group, int[] from, int[] hostTo) {
        runtime.swapOut(group, from, hostTo);
    }

    @Override
    public void swapIn(int group, int[] hostFrom, int[] to) {
        runtime.swapIn(group, hostFrom, to);
    }

    @Override
    public double swapSeconds() {
        return runtime.swapSeconds();
    }

    @Override
    public long copiedRows() {
        return runtime.copiedRows();
    }

    @Override
    public String numericsId() {
        return runtime.numericsId();
    }

    @Override
    public void probe(@Nullable OpProbe probe) {
        runtime.probe(probe);
    }

    @Override
    public @Nullable OpCosts costs() {
        return runtime.costs();
    }

    @Override
    public long steps() {
        return runtime.steps();
    }

    @Override
    public long computeNanos() {
        return runtime.computeNanos();
    }

    @Override
    public void close() {
        runtime.close();
    }
}
