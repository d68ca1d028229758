package io.millrace.worker.engine;

/** Hears of one execution of a model that pools. Called as {@link GenerationListener} is. */
public interface PoolingListener {

    /** Taken out of the queue: its first inputs run. */
    default void onScheduled(int cachedTokens) {}

    /** An output is done; in order of completion. */
    void onOutput(int index, float[] values);

    /** Every output was reported. */
    void onPooled();

    /** As {@link GenerationListener#onFailure}. */
    void onFailure(String code, String message, boolean retryable);

    /** As {@link GenerationListener#onCancelled}. */
    default void onCancelled() {}
}
