package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;

/**
 * A journal record that the fold has accepted.
 *
 * @param prompt index of the call's part whose journal it stands in
 * @param offset its offset in the partition of {@code responses}
 */
public record Accepted(int prompt, long offset, JournalRecord record) {}
