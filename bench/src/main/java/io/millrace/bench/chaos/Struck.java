package io.millrace.bench.chaos;

import java.util.List;

/**
 * A fault that was done.
 *
 * @param aimed phase that some stream was to be in
 * @param load streams that were kept open
 * @param ms when, by the wall clock that the brokers use too
 * @param nanos the same by {@link System#nanoTime}
 * @param open streams at that moment
 * @param through how many of these had their tokens from that process, or read from it; all, where it serves all
 * @param steadyNanos until everything had started again and every stream that had begun went on
 * @param steady whether that happened in time
 */
record Struck(
        int number,
        FaultKind kind,
        Phase aimed,
        LoadLevel load,
        String node,
        long ms,
        long nanos,
        List<StreamState> open,
        int through,
        long steadyNanos,
        boolean steady) {}
