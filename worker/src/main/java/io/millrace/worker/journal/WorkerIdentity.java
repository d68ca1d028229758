package io.millrace.worker.journal;

/**
 * Who this worker is, for one life of its process.
 *
 * @param id name, kept over restarts
 * @param incarnation random 64 bits of this life
 * @param slot partition of {@code assignments} that it reads
 */
public record WorkerIdentity(String id, long incarnation, int slot) {}
