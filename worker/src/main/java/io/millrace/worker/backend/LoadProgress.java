package io.millrace.worker.backend;

/** Hears how far loading a model is. Called from several threads, one after another; must not block. */
@FunctionalInterface
public interface LoadProgress {

    /** Hears nothing. */
    LoadProgress NONE = (phase, fraction) -> {};

    /**
     * @param phase for people, for example {@code weights}
     * @param fraction 0 to 1 of the phase
     */
    void at(String phase, double fraction);
}
