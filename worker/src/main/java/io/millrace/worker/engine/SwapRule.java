package io.millrace.worker.engine;

/**
 * When a preempted sequence goes to the host instead of being computed anew: when copying its blocks there and back is expected to be faster. While
 * nothing is known of how fast the model is, copying is taken to be.
 *
 * @param blockSeconds of a block of every group, there and back
 * @param rates of the model, as learned from its steps
 */
record SwapRule(double blockSeconds, Rates rates) {

    /** Whether {@code blocks} are copied sooner than their {@code tokens} are computed. */
    boolean pays(int blocks, int tokens) {
        double tokensPerS = rates.prefillTokensPerS();
        return tokensPerS == 0 || blocks * blockSeconds < tokens / tokensPerS;
    }
}
