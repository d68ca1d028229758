package io.millrace.worker;

import io.millrace.worker.journal.WorkerConfig;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * Configuration {@code millrace.worker.*} of a worker's place in the cluster. What is left out has the default named here.
 *
 * @param id name of the worker; default {@code worker-} and a few random digits
 * @param slot partition of {@code assignments} that it reads; default: one that no live worker reads
 * @param livenessHost under which routers reach its liveness listener; default this host's address
 * @param livenessPort of that listener; default any free one; -1: none
 * @param beatInterval between heartbeats; default 200 ms
 * @param lease without any confirmed append for so long, it stops all its attempts; default 15 s
 * @param drainGrace how long running requests may still finish in a drain before they are handed over; default 5 s
 */
public record WorkerProperties(
        @Nullable String id,
        @Nullable Integer slot,
        @Nullable String livenessHost,
        @Nullable Integer livenessPort,
        @Nullable Duration beatInterval,
        @Nullable Duration lease,
        @Nullable Duration drainGrace) {

    /** The node's configuration; throws MR-WRK-001 and MR-WRK-002 for values out of range. */
    public WorkerConfig config() {
        WorkerConfig otherwise = WorkerConfig.defaults();
        return new WorkerConfig(
                id == null ? "" : id,
                slot == null ? -1 : slot,
                livenessHost == null ? "" : livenessHost,
                livenessPort == null ? 0 : livenessPort,
                beatInterval == null ? otherwise.beatInterval() : beatInterval,
                lease == null ? otherwise.lease() : lease,
                drainGrace == null ? otherwise.drainGrace() : drainGrace);
    }
}
