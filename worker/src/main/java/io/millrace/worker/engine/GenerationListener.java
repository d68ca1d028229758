package io.millrace.worker.engine;

import io.millrace.worker.sampling.SampledToken;
import java.util.List;

/**
 * Hears of one execution. Called on the engine's output thread, or, when the engine has ended, on the thread that submits; in order, never by two
 * threads at once; must not block.
 */
public interface GenerationListener {

    /** Taken out of the queue: its prefill begins. */
    default void onScheduled(int cachedTokens) {}

    /**
     * New tokens of a choice.
     *
     * @param start output position of the first
     * @param text what became final with them: a pure function of all ids of the choice so far
     */
    void onTokens(int choice, int start, List<SampledToken> tokens, String text);

    /** Log probabilities of the prompt's tokens, once, before any token. */
    default void onPromptLogprobs(List<SampledToken> tokens) {}

    /** How many of a choice's tokens were reasoning, before its end; not called when there was none. */
    default void onReasoning(int choice, int tokens) {}

    /**
     * A choice has ended.
     *
     * @param n its tokens in all
     * @param finishReason "stop" or "length"
     * @param stopReason stop string or id that matched, or empty
     * @param text held back until now
     */
    void onEnd(int choice, int n, String finishReason, String stopReason, String text);

    /** The engine gives the execution up; nothing follows. {@code code} as in docs/errors.md; retryable elsewhere or not. */
    void onFailure(String code, String message, boolean retryable);

    /** Cancelled by {@link Engine#cancel}, its blocks are free; nothing follows. */
    default void onCancelled() {}
}
