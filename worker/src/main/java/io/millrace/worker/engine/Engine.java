package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Continuous batching over one model. Thread-safe. */
public interface Engine extends AutoCloseable {

    /** Queues an execution. Everything about it goes to the listener. */
    void submit(GenerationRequest request, GenerationListener listener);

    /** Queues an execution of a model that pools. One that generates fails it, MR-ENGINE-014. */
    default void pool(PoolingRequest request, PoolingListener listener) {
        listener.onFailure("MR-ENGINE-014", "The model generates text, and no embeddings or scores.", false);
    }

    /** Stops an execution; unknown keys are ignored. */
    void cancel(String key);

    EngineLoad load();

    /**
     * Records the next steps; completes when so many have run, or exceptionally: MR-PROF-002 when a recording
     * runs already, MR-PROF-005 when this engine makes none. With
     * 0 it ends that one, with what it has.
     */
    default CompletableFuture<List<ProfiledStep>> profile(int steps) {
        return CompletableFuture.failedFuture(new MillraceException(
                "MR-PROF-005", "This engine records no profile. Ask for a model that generates."));
    }

    /** The listener hears of every step from now on; running the result ends that. */
    default Runnable observe(StepListener listener) {
        return () -> {};
    }

    /** False after several steps have failed one after the other: everything was handed back, nothing new is taken. */
    default boolean healthy() {
        return true;
    }

    /** Completes when this process can compute nothing more for the model: everything was handed back. */
    default CompletableFuture<MillraceException> lost() {
        return new CompletableFuture<>();
    }

    /** Finishes what runs, takes nothing new; completes when idle. */
    CompletableFuture<Void> drain();

    /** Stops now: listeners hear onFailure, retryable. */
    @Override
    void close();
}
