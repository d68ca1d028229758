package io.millrace.gateway.node;

import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.WorkerBeat;
import java.util.List;
import java.util.Map;

/**
 * The cluster at one moment, as its log shows it. Counts of tokens and requests begin when the reading began.
 *
 * @param timeMs wall clock of this gateway
 * @param sinceMs when the reading began, by the same clock
 * @param logAgeMs milliseconds since a beat of this gateway came back through Kafka; -1: none did yet
 * @param models queues, as all routers together say
 * @param members last beats of routers and gateways
 * @param failovers the latest ones, oldest first
 */
public record ClusterPicture(
        long timeMs,
        long sinceMs,
        long logAgeMs,
        List<Worker> workers,
        Map<String, ModelState> models,
        List<MemberBeat> members,
        List<Partition> partitions,
        Map<String, Tenant> tenants,
        List<Failover> failovers) {

    /**
     * A worker by its last beat.
     *
     * @param silentMs by how much the newest record of {@code workers} is younger than that beat, by the broker's clock
     * @param tokens accepted tokens of its attempts
     */
    public record Worker(WorkerBeat beat, long silentMs, long tokens) {}

    /**
     * A partition of the journals.
     *
     * @param position offset of the next record
     * @param records read from it
     * @param open requests that began and have not ended
     */
    public record Partition(int number, long position, long records, int open) {}

    /** What became of a tenant's requests. */
    public record Tenant(long admitted, long ended, long tokens) {}

    /**
     * A request that goes on elsewhere.
     *
     * @param timeMs the broker's time of the claim
     * @param id the request
     * @param tenant whose it is; empty: it began before the reading did
     * @param attempt number of the new attempt
     * @param from worker of the attempt before; empty: it was not seen
     * @param to worker of the new one
     * @param cause what the claim says
     * @param kept accepted tokens that the new attempt goes on from; -1: not known, as the request began before
     */
    public record Failover(
            long timeMs, String id, String tenant, int attempt, String from, String to, String cause, int kept) {}
}
