package io.millrace.router.core;

import java.util.HashMap;
import java.util.Map;

/** What this router has learned of each model from the claims and ends of its requests. */
final class ModelStats {

    private static final double WINDOW_MS = 10_000;
    private static final double OUTPUT_TOKENS_AT_FIRST = 128;
    private static final double BYTES_PER_TOKEN_AT_FIRST = 4;
    /** Shorter texts say little of it: the template weighs as much as they do. */
    private static final long BYTES_LEAST = 256;

    private static final class Stats {
        double tokensPerMs;
        long atMs;
        double outputTokens = OUTPUT_TOKENS_AT_FIRST;
        double bytesPerToken = BYTES_PER_TOKEN_AT_FIRST;
    }

    private final Map<String, Stats> models = new HashMap<>();

    /** A request ended with so many tokens in all, and so many of output. */
    void ended(String model, long tokens, int outputTokens, long nowMs) {
        Stats stats = models.computeIfAbsent(model, name -> new Stats());
        stats.tokensPerMs = decayed(stats, nowMs) + tokens / WINDOW_MS;
        stats.atMs = nowMs;
        stats.outputTokens += 0.1 * (outputTokens - stats.outputTokens);
    }

    /** Tokens per second that end, over about the last ten seconds. */
    double drainRate(String model, long nowMs) {
        Stats stats = models.get(model);
        return stats == null ? 0 : decayed(stats, nowMs) * 1_000;
    }

    /** Tokens of output of an average choice. */
    double outputTokens(String model) {
        Stats stats = models.get(model);
        return stats == null ? OUTPUT_TOKENS_AT_FIRST : stats.outputTokens;
    }

    /** A text of so many bytes came to so many tokens. */
    void claimed(String model, long promptBytes, int promptTokens) {
        if (promptBytes >= BYTES_LEAST && promptTokens > 0) {
            Stats stats = models.computeIfAbsent(model, name -> new Stats());
            stats.bytesPerToken += 0.1 * ((double) promptBytes / promptTokens - stats.bytesPerToken);
        }
    }

    /** Bytes of a prompt's text that come to a token. */
    double bytesPerToken(String model) {
        Stats stats = models.get(model);
        return stats == null ? BYTES_PER_TOKEN_AT_FIRST : stats.bytesPerToken;
    }

    private static double decayed(Stats stats, long nowMs) {
        return stats.tokensPerMs * Math.exp(-Math.max(0, nowMs - stats.atMs) / WINDOW_MS);
    }
}
