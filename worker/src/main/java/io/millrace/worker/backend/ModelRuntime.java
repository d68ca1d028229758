package io.millrace.worker.backend;

import io.millrace.worker.sampling.SamplingRow;
import org.jspecify.annotations.Nullable;

/**
 * A model loaded into a backend, with its KV cache. Confined to the engine's thread, except {@link #close}, which the engine
 * calls last.
 */
public interface ModelRuntime extends AutoCloseable {

    /** Code of a failure after which no step can run in this process: a kernel has faulted, or the device is gone. */
    String DEVICE_LOST = "MR-CUDA-004";

    KvLayout kvLayout();

    int vocabularySize();

    /** Runs one step: one replay of the step program. Throws a coded error when the backend fails; the cache is then unknown. */
    StepOutputs run(StepInputs inputs);

    /**
     * Whether {@link #submit} returns while the step runs, so that the next can be planned. Its tokens may then name the ids of rows of the
     * step submitted before, as may the last id of a row's history.
     */
    default boolean overlaps() {
        return false;
    }

    /** Whether the next step may name the id of such a row. */
    default boolean feeds(SamplingRow row) {
        return overlaps();
    }

    /** Begins a step; at most two are submitted and not collected. Fails as {@link #run}. */
    default void submit(StepInputs inputs) {
        throw new UnsupportedOperationException("steps of this runtime do not overlap");
    }

    /** Waits for the first step that was not collected. Fails as {@link #run}; then all that were submitted are gone. */
    default StepOutputs collect() {
        throw new UnsupportedOperationException("steps of this runtime do not overlap");
    }

    /** Logit rows that had to be copied from a device's memory so far; 0 where ids are chosen on the host anyway. */
    default long copiedRows() {
        return 0;
    }

    /**
     * Copies whole blocks in all layers of a group: {@code to[i] = from[i]}, all reads before all writes of the same call. Fails as {@link #run}; then
     * all that were submitted are gone.
     */
    void copyBlocks(int group, int[] from, int[] to);

    /**
     * Copies whole blocks of a group to its pool on the host, {@link KvLayout#hostBlocks} of them: {@code hostTo[i] = from[i]}. In order with steps:
     * what those before have written is copied, and those after may write to the blocks.
     */
    default void swapOut(int group, int[] from, int[] hostTo) {
        throw new UnsupportedOperationException("this runtime has no pool on the host");
    }

    /** The other way: {@code to[i] = hostFrom[i]}. */
    default void swapIn(int group, int[] hostFrom, int[] to) {
        throw new UnsupportedOperationException("this runtime has no pool on the host");
    }

    /** Seconds that a block of every group takes to the host and back, as measured when the model was loaded; 0 where there is no pool. */
    default double swapSeconds() {
        return 0;
    }

    /** ISA, build and dtype: outputs are equal bit for bit within one id. */
    String numericsId();

    /** The probe hears of the ops of every step from now on; null ends that. Engine's thread. */
    default void probe(@Nullable OpProbe probe) {}

    /** What the ops cost that {@link #probe} tells of; null when this backend tells of none. */
    default @Nullable OpCosts costs() {
        return null;
    }

    /** Number of calls of {@link #run} so far. */
    long steps();

    /** Time that the model's own arithmetic has taken so far, without sampling; 0 when it is not known apart. */
    default long computeNanos() {
        return 0;
    }

    @Override
    void close();
}
