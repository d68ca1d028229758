package io.millrace.worker.text;

/**
 * Ids that a tokenizer puts around the texts of a pair.
 *
 * @param segments the second text and what follows it are of segment 1, all else of segment 0
 */
public record PairFrame(int[] before, int[] between, int[] after, boolean segments) {}
