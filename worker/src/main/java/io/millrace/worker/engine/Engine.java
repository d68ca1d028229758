package io.millrace.worker.engine;

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

    /** The listener hears of every step from now on; running the result ends that. */
    default Runnable observe(StepListener listener) {
        return () -> {};
    }

    /** False after several steps have failed one after the other: everything was handed back, nothing new is taken. */
    default boolean healthy() {
        return true;
    }

    /** Finishes what runs, takes nothing new; completes when idle. */
    CompletableFuture<Void> drain();

    /** Stops now: listeners hear onFailure, retryable. */
    @Override
    void close();
}
