package io.millrace.worker.journal;

import io.millrace.shared.error.MillraceException;
import java.time.Duration;

/**
 * How a worker takes part in the cluster. Components left out (null, or 0) have the defaults named here.
 *
 * @param id name of the worker; default {@code worker-} and a few digits of its incarnation
 * @param slot partition of {@code assignments} that it reads; default -1: one that no live worker reads
 * @param livenessHost under which routers reach its liveness listener; default this host's address
 * @param livenessPort of that listener; 0 (default): any free one; -1: none
 * @param beatInterval between heartbeats; default 200 ms
 * @param lease without any confirmed append for so long, the worker stops all its attempts; default 15 s
 * @param drainGrace how long running requests may still finish in a drain before they are handed over; default 5 s
 */
public record WorkerConfig(
        String id,
        int slot,
        String livenessHost,
        int livenessPort,
        Duration beatInterval,
        Duration lease,
        Duration drainGrace) {

    public WorkerConfig {
        id = id == null ? "" : id;
        livenessHost = livenessHost == null ? "" : livenessHost;
        beatInterval = beatInterval == null ? Duration.ofMillis(200) : beatInterval;
        lease = lease == null ? Duration.ofSeconds(15) : lease;
        drainGrace = drainGrace == null ? Duration.ofSeconds(5) : drainGrace;
        if (slot < -1 || livenessPort < -1 || livenessPort > 65_535) {
            throw new MillraceException(
                    "MR-WRK-001",
                    "slot %d or liveness port %d is out of range: -1 or more, and -1 to 65,535"
                            .formatted(slot, livenessPort));
        }
        if (beatInterval.toMillis() < 20 || beatInterval.toMillis() > 1_000) {
            throw new MillraceException(
                    "MR-WRK-002",
                    "a heartbeat every %,d ms is outside 20 to 1,000 ms: others would suspect this worker"
                            .formatted(beatInterval.toMillis()));
        }
    }

    public static WorkerConfig defaults() {
        return new WorkerConfig("", -1, "", 0, Duration.ofMillis(200), Duration.ofSeconds(15), Duration.ofSeconds(5));
    }

    public WorkerConfig withId(String name) {
        return new WorkerConfig(name, slot, livenessHost, livenessPort, beatInterval, lease, drainGrace);
    }

    public WorkerConfig withLease(Duration time) {
        return new WorkerConfig(id, slot, livenessHost, livenessPort, beatInterval, time, drainGrace);
    }

    public WorkerConfig withDrainGrace(Duration time) {
        return new WorkerConfig(id, slot, livenessHost, livenessPort, beatInterval, lease, time);
    }
}
