package io.millrace.worker.backend;

import org.jspecify.annotations.Nullable;

/**
 * A model loaded into a backend, with its KV cache. Confined to the engine's thread, except {@link #close}, which the engine
 * calls last.
 */
public interface ModelRuntime extends AutoCloseable {

    KvLayout kvLayout();

    int vocabularySize();

    /** Runs one step: one replay of the step program. Throws a coded error when the backend fails; the cache is then unknown. */
    StepOutputs run(StepInputs inputs);

    /** Copies whole blocks in all layers of a group: {@code to[i] = from[i]}, all reads before all writes of the same call. */
    void copyBlocks(int group, int[] from, int[] to);

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
