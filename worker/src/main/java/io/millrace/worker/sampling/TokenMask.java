package io.millrace.worker.sampling;

/** The ids that may be chosen. Thread-safe. */
@FunctionalInterface
public interface TokenMask {

    /** [(vocabulary + 31) / 32] bit {@code id % 32} of word {@code id / 32}: 1 allowed. May wait for it; not to be changed. */
    int[] words();
}
