package io.millrace.worker.backend;

/** Hears how long the ops of a step took. Called by whichever thread ran them, several at a time. */
public interface OpProbe {

    /**
     * Ops of the program that ran as one.
     *
     * @param ops their indexes in the program
     * @param lane thread of the backend
     * @param rows of the batch that they ran on here
     * @param startNanos of {@link System#nanoTime}
     */
    void ran(int[] ops, int lane, int rows, long startNanos, long nanos);
}
