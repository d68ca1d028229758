package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Progress;
import org.jspecify.annotations.Nullable;

/** Told of the life of one call: metrics and spans. Calls come on the hub's thread, but for {@link #sent}. */
public interface CallObserver {

    /** Kafka confirmed the requests, or refused them. */
    void sent(@Nullable Throwable failure);

    /** The request was made earlier: what follows was counted then. */
    default void attached() {}

    /**
     * New tokens were accepted.
     *
     * @param choice index in the answer
     */
    void tokens(int choice, int count);

    /** The call is over; called once. */
    void ended(Outcome outcome, Progress progress, @Nullable ApiError error);

    /** How a call ends, as this gateway sees it. */
    enum Outcome {
        COMPLETE,
        ERROR,
        /** The client went away, or was cut. */
        DETACHED
    }
}
