package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;

/**
 * Sizes of an engine.
 *
 * @param model names the weights in the prefix cache
 * @param maxRunning sequences that hold KV blocks at a time
 * @param maxWaiting executions in the engine beyond {@code maxRunning}; more are refused, retryable
 * @param maxBatchedTokens token rows of a step; decodes always take part, prefill chunks get what they leave (at least one row)
 * @param maxModelLen tokens of a sequence, prompt and output
 * @param watermarkPercent of the block pool that admission leaves free while something runs
 * @param prefixCache full blocks are found again by their content
 * @param promptLogprobRows prompt rows of a step whose logits come to the host (a row is 4 bytes times the vocabulary)
 * @param maxFailures failed steps in a row after which the engine is unhealthy
 */
public record EngineConfig(
        String model,
        int maxRunning,
        int maxWaiting,
        int maxBatchedTokens,
        int maxModelLen,
        int watermarkPercent,
        boolean prefixCache,
        int promptLogprobRows,
        int maxFailures) {

    public EngineConfig {
        atLeastOne("maxRunning", maxRunning);
        atLeastOne("maxWaiting", maxWaiting);
        atLeastOne("maxBatchedTokens", maxBatchedTokens);
        atLeastOne("maxModelLen", maxModelLen);
        atLeastOne("promptLogprobRows", promptLogprobRows);
        atLeastOne("maxFailures", maxFailures);
        if (watermarkPercent < 0 || watermarkPercent > 50) {
            throw new MillraceException(
                    "MR-ENGINE-011", "watermarkPercent is " + watermarkPercent + "; choose one of 0 to 50.");
        }
    }

    /** Defaults: 64 running, 1,024 waiting, 512 tokens a step, 1 % watermark, prefix cache on. */
    public static EngineConfig of(String model, int maxModelLen) {
        return new EngineConfig(model, 64, 1024, 512, maxModelLen, 1, true, 64, 3);
    }

    public EngineConfig withMaxRunning(int value) {
        return new EngineConfig(
                model,
                value,
                maxWaiting,
                maxBatchedTokens,
                maxModelLen,
                watermarkPercent,
                prefixCache,
                promptLogprobRows,
                maxFailures);
    }

    public EngineConfig withMaxWaiting(int value) {
        return new EngineConfig(
                model,
                maxRunning,
                value,
                maxBatchedTokens,
                maxModelLen,
                watermarkPercent,
                prefixCache,
                promptLogprobRows,
                maxFailures);
    }

    public EngineConfig withMaxBatchedTokens(int value) {
        return new EngineConfig(
                model,
                maxRunning,
                maxWaiting,
                value,
                maxModelLen,
                watermarkPercent,
                prefixCache,
                promptLogprobRows,
                maxFailures);
    }

    public EngineConfig withPrefixCache(boolean value) {
        return new EngineConfig(
                model,
                maxRunning,
                maxWaiting,
                maxBatchedTokens,
                maxModelLen,
                watermarkPercent,
                value,
                promptLogprobRows,
                maxFailures);
    }

    private static void atLeastOne(String name, int value) {
        if (value < 1) {
            throw new MillraceException("MR-ENGINE-011", name + " is " + value + "; it must be at least 1.");
        }
    }
}
