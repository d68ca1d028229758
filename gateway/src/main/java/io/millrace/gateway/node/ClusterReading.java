package io.millrace.gateway.node;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Reads the beats of workers and all journals from now on, and hands out a {@link ClusterPicture} twice a second, and at once after a
 * fail-over. State belongs to the reader's thread.
 */
final class ClusterReading implements LogReader.Listener, AutoCloseable {

    private static final long PERIOD_NANOS = 500_000_000;
    private static final long SOON_NANOS = 50_000_000;
    /** A silent worker is shown for so long, by the log's time. */
    private static final long GONE_MS = 15_000;

    private static final int FAILOVERS_MAX = 50;
    private static final int TENANTS_MAX = 1000;
    private static final int ENDED_MAX = 256;

    private record Seen(WorkerBeat beat, long timeMs) {}

    private static final class Journals {
        final PartitionFold fold = new PartitionFold(JournalFold.Keep.COUNTS, 0, ENDED_MAX);
        long position;
        long records;
        int open;
    }

    private static final class Count {
        long admitted;
        long ended;
        long tokens;
    }

    private final ClusterView view;
    private final Clock clock;
    private final Consumer<ClusterPicture> out;
    private final long sinceMs;
    private final Map<String, Seen> workers = new TreeMap<>();
    private final Map<String, Count> byWorker = new HashMap<>();
    private final Map<String, Count> byTenant = new TreeMap<>();
    private final Map<Integer, Journals> partitions = new TreeMap<>();
    private final Deque<ClusterPicture.Failover> failovers = new ArrayDeque<>();
    /** Worker of each attempt that beats name, for requests that began before. */
    private final Map<ByteString, String> workerOfAid = new HashMap<>();

    private final LogReader reader;
    private long workersMs;
    private long nextNanos;

    /** Begins to read; waits for Kafka. Throws MillraceException without it. */
    ClusterReading(Log log, ClusterView view, Clock clock, Consumer<ClusterPicture> out) {
        this.view = view;
        this.clock = clock;
        this.out = out;
        this.sinceMs = clock.wallMs();
        this.nextNanos = clock.nanos() + PERIOD_NANOS;
        int beats = log.partitions(Topic.WORKERS);
        int journals = log.partitions(Topic.RESPONSES);
        for (int i = 0; i < journals; i++) {
            partitions.put(i, new Journals());
        }
        this.reader = log.reader("console", this);
        for (int i = 0; i < beats; i++) {
            reader.assign(Topic.WORKERS, i, LogReader.END);
        }
        for (int i = 0; i < journals; i++) {
            reader.assign(Topic.RESPONSES, i, LogReader.END);
        }
    }

    @Override
    public void onRecord(LogRecord record) {
        try {
            if (record.topic() == Topic.WORKERS) {
                beat(record);
            } else {
                journal(record);
            }
        } catch (InvalidProtocolBufferException malformed) {
            // Whoever must act on records reports it; here it is nothing to show.
        }
    }

    private void beat(LogRecord record) throws InvalidProtocolBufferException {
        workersMs = Math.max(workersMs, record.timestampMs());
        byte[] value = record.value();
        WorkerBeat beat = value == null ? WorkerBeat.getDefaultInstance() : WorkerBeat.parseFrom(value);
        if (beat.getWorker().isEmpty()) {
            return;
        }
        if (beat.getLeaving()) {
            workers.remove(beat.getWorker());
        } else {
            workers.put(beat.getWorker(), new Seen(beat, record.timestampMs()));
        }
    }

    private void journal(LogRecord record) throws InvalidProtocolBufferException {
        Journals journals = partitions.computeIfAbsent(record.partition(), number -> new Journals());
        journals.position = record.offset() + 1;
        journals.records++;
        byte[] value = record.value();
        if (value == null) {
            return;
        }
        JournalRecord parsed = JournalRecord.parseFrom(value);
        JournalFold before = journals.fold.journal(parsed.getReq());
        boolean wasOver = before != null && before.terminal();
        Claim claimBefore = before == null ? null : before.claim();
        PartitionFold.Folded folded = journals.fold.apply(record.offset(), record.timestampMs(), parsed);
        JournalFold journal = folded.journal();
        if (journal == null) {
            unknown(record, parsed);
        } else if (folded.verdict().isAccepted()) {
            known(record, parsed, journal, claimBefore);
            if (journal.terminal() && !wasOver && journal.admitted()) {
                journals.open--;
                tenant(journal.admit().getTenant()).ended++;
            } else if (parsed.hasAdmit()) {
                journals.open++;
            }
        }
    }

    private void known(LogRecord record, JournalRecord parsed, JournalFold journal, @Nullable Claim before) {
        switch (parsed.getRecordCase()) {
            case ADMIT -> tenant(parsed.getAdmit().getTenant()).admitted++;
            case CLAIM ->
                failover(
                        record,
                        parsed,
                        journal.admit().getTenant(),
                        before == null ? "" : before.getWorker(),
                        journal.acceptedTotal());
            case TOKENS -> {
                int count = parsed.getTokens().getIdsCount();
                tenant(journal.admit().getTenant()).tokens += count;
                Claim claim = journal.claim();
                if (claim != null) {
                    worker(claim.getWorker()).tokens += count;
                }
            }
            default -> {}
        }
    }

    /** A record of a request that began before: its attempts are known from beats only. */
    private void unknown(LogRecord record, JournalRecord parsed) {
        switch (parsed.getRecordCase()) {
            case CLAIM -> {
                Claim claim = parsed.getClaim();
                failover(record, parsed, "", workerOf(parsed, claim.getWorker()), -1);
                workerOfAid.put(claim.getAid(), claim.getWorker());
            }
            case TOKENS -> {
                String worker = workerOfAid.get(parsed.getTokens().getAid());
                if (worker != null) {
                    worker(worker).tokens += parsed.getTokens().getIdsCount();
                }
            }
            default -> {}
        }
    }

    /** The worker whose last beat names the request, other than that one; empty when none does. */
    private String workerOf(JournalRecord parsed, String except) {
        for (Seen seen : workers.values()) {
            if (!seen.beat().getWorker().equals(except)) {
                for (RunningAttempt attempt : seen.beat().getAttemptsList()) {
                    if (attempt.getReq() == parsed.getReq() && attempt.getId().equals(parsed.getId())) {
                        return seen.beat().getWorker();
                    }
                }
            }
        }
        return "";
    }

    private void failover(LogRecord record, JournalRecord parsed, String tenant, String from, int kept) {
        Claim claim = parsed.getClaim();
        if (claim.getAttempt() > 1) {
            failovers.addLast(new ClusterPicture.Failover(
                    record.timestampMs(),
                    parsed.getId(),
                    tenant,
                    claim.getAttempt(),
                    from,
                    claim.getWorker(),
                    claim.getCause(),
                    kept));
            if (failovers.size() > FAILOVERS_MAX) {
                failovers.removeFirst();
            }
            nextNanos = Math.min(nextNanos, clock.nanos() + SOON_NANOS);
        }
    }

    private Count worker(String name) {
        return byWorker.computeIfAbsent(name, unseen -> new Count());
    }

    private Count tenant(String name) {
        Count count = byTenant.get(name);
        if (count == null) {
            count = new Count();
            if (byTenant.size() < TENANTS_MAX) {
                byTenant.put(name, count);
            }
        }
        return count;
    }

    @Override
    public void onTick() {
        if (clock.nanos() - nextNanos >= 0) {
            nextNanos = clock.nanos() + PERIOD_NANOS;
            out.accept(picture());
        }
    }

    private ClusterPicture picture() {
        workers.values().removeIf(seen -> workersMs - seen.timeMs() > GONE_MS);
        byWorker.keySet().retainAll(workers.keySet());
        workerOfAid.clear();
        List<ClusterPicture.Worker> seenWorkers = new ArrayList<>();
        workers.forEach((name, seen) -> {
            Count count = byWorker.get(name);
            seenWorkers.add(new ClusterPicture.Worker(
                    seen.beat(), workersMs - seen.timeMs(), count == null ? 0 : count.tokens));
            seen.beat().getAttemptsList().forEach(attempt -> workerOfAid.put(attempt.getAid(), name));
        });
        List<ClusterPicture.Partition> seenPartitions = new ArrayList<>();
        partitions.forEach((number, each) ->
                seenPartitions.add(new ClusterPicture.Partition(number, each.position, each.records, each.open)));
        Map<String, ClusterPicture.Tenant> tenants = new TreeMap<>();
        byTenant.forEach((name, count) ->
                tenants.put(name, new ClusterPicture.Tenant(count.admitted, count.ended, count.tokens)));
        return new ClusterPicture(
                clock.wallMs(),
                sinceMs,
                view.ownBeatAgeMs(),
                List.copyOf(seenWorkers),
                view.models(),
                view.members(),
                List.copyOf(seenPartitions),
                tenants,
                List.copyOf(failovers));
    }

    /** Where reading stands, even where nothing is written. */
    @Override
    public void onCaughtUp(Topic topic, int partition, long position) {
        if (topic == Topic.RESPONSES) {
            partitions.computeIfAbsent(partition, number -> new Journals()).position = position;
        }
    }

    @Override
    public void close() {
        reader.close();
    }
}
