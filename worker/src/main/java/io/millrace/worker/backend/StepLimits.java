package io.millrace.worker.backend;

/**
 * The largest step that an engine plans, for memory that is taken up front.
 *
 * @param rows token rows
 * @param logitRows rows whose logits are wanted
 */
public record StepLimits(int rows, int logitRows) {}
