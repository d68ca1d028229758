package io.millrace.worker.journal;

import io.millrace.shared.proto.Usage;
import java.util.Arrays;
import java.util.List;

/** How far one attempt has come: its choices' counts and ends, and its times in nanoseconds. Guarded by its execution. */
final class AttemptProgress {

    private final long receivedNanos;
    private int[] counts = new int[0];
    private boolean[] ended = new boolean[0];
    private long[] lastTokenNanos = new long[0];
    private int[] reasoning = new int[0];
    private int promptTokens;
    private int cachedTokens;
    private int produced;
    private long scheduledNanos;
    private long firstNanos;

    AttemptProgress(long receivedNanos) {
        this.receivedNanos = receivedNanos;
    }

    /** The prompt is known, and what earlier attempts made of each choice. */
    void prepared(int promptLength, List<int[]> accepted, boolean[] over) {
        promptTokens = promptLength;
        counts = accepted.stream().mapToInt(ids -> ids.length).toArray();
        ended = over.clone();
        lastTokenNanos = new long[counts.length];
        reasoning = new int[counts.length];
    }

    /** The prefill begins; the time since it was received. */
    long scheduled(int cached, long now) {
        cachedTokens = cached;
        scheduledNanos = now;
        return now - receivedNanos;
    }

    /** The first output is there. */
    void first(long now) {
        if (scheduledNanos == 0) {
            scheduledNanos = now;
        }
        firstNanos = now;
    }

    /** Tokens of a choice behind {@code start}; the time since its last ones, 0 when there are none. */
    long tokens(int choice, int start, int count, long now) {
        produced += count;
        counts[choice] = start + count;
        long gap = lastTokenNanos[choice] == 0 ? 0 : now - lastTokenNanos[choice];
        lastTokenNanos[choice] = now;
        return gap;
    }

    void reasoning(int choice, int tokens) {
        reasoning[choice] = tokens;
    }

    /** A choice is over; whether all are. */
    boolean ended(int choice) {
        ended[choice] = true;
        for (boolean over : ended) {
            if (!over) {
                return false;
            }
        }
        return true;
    }

    /** Of a choice with that many tokens. */
    Usage usage(int choice, int tokens) {
        return Usage.newBuilder()
                .setPromptTokens(promptTokens)
                .setCompletionTokens(tokens)
                .setCachedTokens(cachedTokens)
                .setReasoningTokens(reasoning[choice])
                .build();
    }

    /** Tokens of each choice, those of earlier attempts too. */
    int[] counts() {
        return counts;
    }

    /** Tokens of all choices, those of earlier attempts too. */
    int sum() {
        return Arrays.stream(counts).sum();
    }

    /** Tokens that this attempt has made. */
    int produced() {
        return produced;
    }

    int promptTokens() {
        return promptTokens;
    }

    int cachedTokens() {
        return cachedTokens;
    }

    long receivedNanos() {
        return receivedNanos;
    }

    long scheduledNanos() {
        return scheduledNanos;
    }

    long firstNanos() {
        return firstNanos;
    }
}
