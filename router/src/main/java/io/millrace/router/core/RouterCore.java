package io.millrace.router.core;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.router.core.membership.Members;
import io.millrace.router.core.membership.Rendezvous;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.random.RandomGenerator;

/**
 * The router as a pure state machine: records, outcomes and time go in, {@link Effect}s come out. Only what it reads from the
 * log changes what it believes; what it appends counts when it is read back.
 *
 * <p>Every input carries the time, {@code nowMs}, in milliseconds since the epoch. Call {@link #start} first, then carry out
 * all effects of each call in order, and {@link #onTick} at least every 100 ms. Not thread-safe: one thread at a time.
 */
public final class RouterCore {

    /** Key of this router's markers in {@code workers}: beats without a worker, by which it sees that log's progress. */
    private static final String MARKER_PREFIX = "router/";

    private static final long SCAN_EVERY_MS = 50;
    /** Scans in which each request that runs as it should is looked at once. */
    private static final int SLICES = 8;

    private static final long FORGET_AFTER_MS = 600_000;

    private final RouterCoreConfig config;
    private final Context context;
    private final JournalWriter writer;
    private final Admission admission;
    private final Lifecycle lifecycle;
    private final Dispatcher dispatcher;
    private final Credits credits;
    private final Map<Integer, Partition> partitions = new TreeMap<>();
    private Set<String> routers = Set.of();
    private boolean leaving;
    private long beatMs = Long.MIN_VALUE;
    private long scanMs = Long.MIN_VALUE;
    private int scans;

    /** @param random source of aids (128 random bits each) and of exploration; production passes a SecureRandom */
    public RouterCore(RouterCoreConfig config, RandomGenerator random) {
        this(config, random, ProtocolRules.PROTOCOL);
    }

    RouterCore(RouterCoreConfig config, RandomGenerator random, ProtocolRules rules) {
        this.config = config;
        context = new Context(config, random, rules);
        writer = new JournalWriter(context);
        Slots slots = new Slots(context);
        dispatcher = new Dispatcher(context, writer, slots);
        admission = new Admission(context, writer, dispatcher);
        lifecycle = new Lifecycle(context, writer, admission, slots);
        credits = new Credits(context);
    }

    /** The first call. */
    public List<Effect> start(long nowMs) {
        context.nowMs = nowMs;
        context.outbox.add(new Effect.StartReading(Topic.MEMBERS, 0, LogReader.BEGINNING));
        context.outbox.add(new Effect.StartReading(Topic.WORKERS, 0, LogReader.BEGINNING));
        return finish();
    }

    /** A record of any partition that this router reads; one that cannot be parsed is passed over. */
    public List<Effect> onRecord(LogRecord record, long nowMs) {
        context.nowMs = nowMs;
        try {
            route(record);
        } catch (InvalidProtocolBufferException e) {
            return finish();
        }
        return finish();
    }

    private void route(LogRecord record) throws InvalidProtocolBufferException {
        byte[] value = record.value();
        switch (record.topic()) {
            case MEMBERS -> {
                if (value != null) {
                    member(MemberBeat.parseFrom(value), record.timestampMs());
                }
            }
            case WORKERS -> {
                if (value != null) {
                    worker(WorkerBeat.parseFrom(value), record);
                }
            }
            case REQUESTS, RESPONSES, RESULTS, CHECKPOINTS -> {
                Partition partition = partitions.get(record.partition());
                if (partition == null) {
                    return;
                }
                switch (record.topic()) {
                    case REQUESTS -> partition.request(record);
                    case RESPONSES -> partition.journal(record);
                    case RESULTS -> partition.result(record);
                    default -> partition.checkpoint(record);
                }
            }
            case ASSIGNMENTS, DEAD_LETTERS, FILES, BATCHES -> {}
        }
    }

    private void member(MemberBeat beat, long timestampMs) {
        boolean back = context.members.isReturn(beat);
        Members.GatewayGone gone = context.members.apply(beat, timestampMs);
        for (Partition partition : partitions.values()) {
            if (gone != null) {
                partition.gatewayGone(gone.node(), gone.connectionsBeforeMs());
            } else if (back) {
                partition.gatewayBack(beat.getNode());
            }
        }
    }

    private void worker(WorkerBeat beat, LogRecord record) {
        if (beat.getWorker().isEmpty()) {
            if (beat.getIncarnation() == config.incarnation() && record.key().equals(MARKER_PREFIX + config.node())) {
                context.workers.own(record.timestampMs());
                admission.ready();
                partitions.values().forEach(Partition::activate);
            }
            return;
        }
        Worker known = context.workers.find(beat.getWorker());
        long before = known == null ? 0 : known.incarnation();
        Worker joined = context.workers.apply(beat, record.timestampMs());
        context.fleet.refresh();
        if (joined != null) {
            if (known != null) {
                context.outbox.add(new Effect.DisconnectLiveness(joined.id(), before));
                // What its predecessor ran is lost.
                touchAll();
            }
            if (!beat.getLiveness().isEmpty()) {
                context.outbox.add(new Effect.ConnectLiveness(joined.id(), joined.incarnation(), beat.getLiveness()));
            }
        }
    }

    /** The reader has delivered everything up to the end of that partition as it was a moment ago. */
    public List<Effect> onCaughtUp(Topic topic, int partition, long position, long nowMs) {
        context.nowMs = nowMs;
        Partition owned = partitions.get(partition);
        if (owned != null) {
            owned.caughtUp(topic, position);
        }
        return finish();
    }

    /** The append with that token stands in the log. */
    public List<Effect> onAppended(long token, long offset, long nowMs) {
        context.nowMs = nowMs;
        context.outbox.appended(token, offset);
        return finish();
    }

    /** The append with that token is not known to stand in the log. */
    public List<Effect> onAppendFailed(long token, long nowMs) {
        context.nowMs = nowMs;
        context.outbox.failed(token);
        return finish();
    }

    /** The connection to that process broke or was refused. */
    public List<Effect> onLivenessLost(String worker, long incarnation, long nowMs) {
        context.nowMs = nowMs;
        context.workers.livenessLost(worker, incarnation);
        judge();
        return finish();
    }

    /** Time has passed. */
    public List<Effect> onTick(long nowMs) {
        context.nowMs = nowMs;
        if (nowMs - beatMs >= config.timing().beatMs() || beatMs == Long.MIN_VALUE) {
            beatMs = nowMs;
            beat();
        }
        if (nowMs - scanMs >= SCAN_EVERY_MS || scanMs == Long.MIN_VALUE) {
            scanMs = nowMs;
            if (!context.rules.silenceByLog()) {
                context.workers.own(nowMs);
            }
            judge();
            own();
            scans++;
            for (Partition partition : partitions.values()) {
                partition.tick();
                if (partition.active()) {
                    scan(partition);
                }
            }
            context.queues.sweep();
        }
        return finish();
    }

    /** Touches what may be due; of what runs as it should only a share, since a router may have tens of thousands of them. */
    private void scan(Partition partition) {
        for (Request request : partition.open()) {
            if (!request.steady(context.nowMs) || (request.req + scans) % SLICES == 0) {
                context.touch(request);
            }
        }
    }

    /** Gives all partitions back: a beat that says so, and no more appends but beats. */
    public List<Effect> leave(long nowMs) {
        context.nowMs = nowMs;
        leaving = true;
        beat();
        own();
        return finish();
    }

    private void judge() {
        for (Worker worker : context.workers.judge()) {
            context.outbox.observe(new RouterEvent.NodeSuspected(
                    worker.id(),
                    "worker",
                    !context.workers.live(worker),
                    worker.cause(),
                    worker.expected(),
                    context.nowMs));
            touchAll();
        }
        for (Members.Member member : context.members.newlySilent()) {
            boolean gateway = member.beat().getRole() == MemberBeat.Role.GATEWAY;
            context.outbox.observe(new RouterEvent.NodeSuspected(
                    member.beat().getNode(),
                    gateway ? "gateway" : "router",
                    true,
                    "its heartbeats stay away",
                    member.beat().getLeaving() || context.members.progress().before(member.lastMs()),
                    context.nowMs));
            if (gateway) {
                partitions
                        .values()
                        .forEach(partition ->
                                partition.gatewaySilent(member.beat().getNode()));
            }
        }
        for (Worker gone : context.workers.forgetSilentFor(FORGET_AFTER_MS)) {
            context.outbox.add(new Effect.DisconnectLiveness(gone.id(), gone.incarnation()));
        }
        context.members.forgetSilentFor(FORGET_AFTER_MS);
    }

    private void touchAll() {
        for (Partition partition : partitions.values()) {
            partition.open().forEach(context::touch);
        }
    }

    /** Takes and gives back partitions, as the live routers share them. */
    private void own() {
        if (!context.members.progress().started() && !leaving) {
            return;
        }
        Set<String> now = context.members.routers(leaving);
        if (now.equals(routers)) {
            return;
        }
        routers = now;
        for (int number = 0; number < config.partitions(); number++) {
            boolean mine = config.node().equals(Rendezvous.pick(now, number)) && !leaving;
            Partition owned = partitions.get(number);
            if (mine && owned == null) {
                Partition partition = new Partition(context, number, lifecycle, writer);
                partitions.put(number, partition);
                partition.load();
            } else if (!mine && owned != null) {
                owned.close();
                partitions.remove(number);
            }
            if (mine != (owned != null)) {
                context.outbox.observe(new RouterEvent.Ownership(config.node(), number, mine, context.nowMs));
            }
        }
    }

    private void beat() {
        MemberBeat member = MemberBeat.newBuilder()
                .setNode(config.node())
                .setIncarnation(config.incarnation())
                .setRole(MemberBeat.Role.ROUTER)
                .setTimeMs(context.nowMs)
                .addAllCredits(leaving ? List.of() : credits.now())
                .addAllPartitions(partitions.keySet())
                .setLeaving(leaving)
                .build();
        context.outbox.append(Topic.MEMBERS, 0, config.node(), member.toByteArray(), Outbox.Outcome.NONE);
        WorkerBeat marker = WorkerBeat.newBuilder()
                .setIncarnation(config.incarnation())
                .setSlot(-1)
                .setTimeMs(context.nowMs)
                .build();
        context.outbox.append(
                Topic.WORKERS, 0, MARKER_PREFIX + config.node(), marker.toByteArray(), Outbox.Outcome.NONE);
    }

    private List<Effect> finish() {
        drainTouched();
        dispatcher.pump();
        drainTouched();
        return context.outbox.drain();
    }

    private void drainTouched() {
        for (Request next = context.nextTouched(); next != null; next = context.nextTouched()) {
            lifecycle.advance(next);
        }
    }

    /** Whether this router owns the partition and acts for it. */
    public boolean active(int partition) {
        Partition owned = partitions.get(partition);
        return owned != null && owned.active();
    }

    /** Partitions that this router owns, loading ones too. */
    public Set<Integer> owned() {
        return Set.copyOf(partitions.keySet());
    }

    /** A snapshot of each model's load, for metrics. */
    public List<ModelLoad> load(long nowMs) {
        List<ModelLoad> loads = new ArrayList<>();
        for (String model : context.workers.models()) {
            loads.add(new ModelLoad(
                    model,
                    context.queues.size(model),
                    context.queues.tokens(model),
                    context.stats.drainRate(model, nowMs)));
        }
        return loads;
    }

    /** What waits for one model here; {@code drainRate} in tokens per second. */
    public record ModelLoad(String model, int queued, long queuedTokens, double drainRate) {}

    /** Open requests that this router knows of, for metrics and tests. */
    public int openRequests() {
        int sum = 0;
        for (Partition partition : partitions.values()) {
            sum += partition.open().size();
        }
        return sum;
    }

    /** The fold of a partition that this router acts for, for tests; empty when it does not. */
    List<PartitionFold> foldsForTests(int partition) {
        Partition owned = partitions.get(partition);
        return owned == null || !owned.active() ? List.of() : List.of(owned.fold());
    }
}
