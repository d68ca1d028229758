package io.millrace.router.core;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** A router core with a log in memory that commits at once, and workers that do only what a test says. */
final class Rig {

    static final String MODEL = "m";
    static final long WEIGHTS = 42;

    /** A worker whose beats go on as long as it is alive. */
    final class FakeWorker {
        final String id;
        final int slot;
        long incarnation;
        boolean alive = true;
        boolean reads = true;
        boolean draining;
        boolean finishing;
        String model = MODEL;
        long weights = WEIGHTS;
        int maxRunning = 8;
        String numerics = "n";
        final List<RunningAttempt> attempts = new ArrayList<>();

        FakeWorker(String id, int slot, long incarnation) {
            this.id = id;
            this.slot = slot;
            this.incarnation = incarnation;
        }

        void beat() {
            append(
                    Topic.WORKERS,
                    0,
                    id,
                    WorkerBeat.newBuilder()
                            .setWorker(id)
                            .setIncarnation(incarnation)
                            .setSlot(slot)
                            .setAssignmentsPosition(
                                    reads ? part(Topic.ASSIGNMENTS, slot).size() : 0)
                            .setDraining(draining)
                            .setFinishing(finishing)
                            .setLiveness("host:1")
                            .addAllAttempts(attempts)
                            .addModels(ServedModel.newBuilder()
                                    .setName(model)
                                    .addAliases(model + "-alias")
                                    .setWeightsHash(weights)
                                    .setNumericsId(numerics)
                                    .setMaxModelLen(100)
                                    .setMaxRunning(maxRunning)
                                    .setRunning(attempts.size()))
                            .build());
        }

        /** What its beats list from now on. */
        void lists(long req, ByteString aid, boolean early) {
            attempts.add(RunningAttempt.newBuilder()
                    .setReq(req)
                    .setAid(aid)
                    .setAttempt(1)
                    .setEarly(early)
                    .build());
        }

        /** Dispatches to this process so far. */
        List<Assignment> dispatches() throws InvalidProtocolBufferException {
            return assignments(Assignment::hasDispatch);
        }

        List<Assignment> cancels() throws InvalidProtocolBufferException {
            return assignments(Assignment::hasCancel);
        }

        private List<Assignment> assignments(Predicate<Assignment> kind) throws InvalidProtocolBufferException {
            List<Assignment> found = new ArrayList<>();
            for (LogRecord record : part(Topic.ASSIGNMENTS, slot)) {
                Assignment assignment = Assignment.parseFrom(record.value());
                if (assignment.getIncarnation() == incarnation && kind.test(assignment)) {
                    found.add(assignment);
                }
            }
            return found;
        }
    }

    private final Map<Integer, List<LogRecord>> parts = new HashMap<>();
    private final Map<Integer, Integer> positions = new TreeMap<>();
    final List<FakeWorker> workers = new ArrayList<>();
    final List<RouterEvent> events = new ArrayList<>();
    final List<Effect.ConnectLiveness> connections = new ArrayList<>();
    RouterCore core;
    long now = 1_000_000;
    /** The topic whose appends are said to fail, and do not land. */
    @Nullable
    Topic failing;
    /** Nothing lands or is read while it stands still. */
    boolean stalled;
    /** Journals are read before requests, as may be when both are read independently. */
    boolean journalsFirst;

    private final List<Effect> held = new ArrayList<>();
    private int claims;

    Rig(RouterCoreConfig config) {
        this(new RouterCore(config, RandomGenerator.of("L64X128MixRandom")));
    }

    /** For a router that is no longer, or not quite, as the protocol says. */
    Rig(RouterCore core) {
        this.core = core;
        run(core.start(now));
    }

    static RouterCoreConfig config() {
        return RouterCoreConfig.defaults("r0", 1, 1);
    }

    static Rig withWorkers(RouterCoreConfig config, int count) {
        return withWorkers(new Rig(config), count);
    }

    static Rig withWorkers(Rig rig, int count) {
        for (int i = 0; i < count; i++) {
            rig.worker("w" + i, i);
        }
        rig.advance(600);
        return rig;
    }

    FakeWorker worker(String id, int slot) {
        FakeWorker worker = new FakeWorker(id, slot, 100 + slot);
        workers.add(worker);
        return worker;
    }

    /** The first worker that was given something. */
    FakeWorker assigned() throws InvalidProtocolBufferException {
        for (FakeWorker worker : workers) {
            if (!worker.dispatches().isEmpty()) {
                return worker;
            }
        }
        throw new AssertionError("nothing was given to any of " + workers.size() + " workers");
    }

    /** Another process takes the router's place and reads the log as it is. */
    void rebuild(RouterCoreConfig config) {
        positions.clear();
        core = new RouterCore(config, RandomGenerator.of("L64X128MixRandom"));
        run(core.start(now));
    }

    List<LogRecord> part(Topic topic, int partition) {
        return parts.computeIfAbsent(topic.ordinal() << 8 | partition, key -> new ArrayList<>());
    }

    long append(Topic topic, int partition, String key, MessageLite value) {
        return land(topic, partition, key, value.toByteArray());
    }

    private long land(Topic topic, int partition, String key, byte @Nullable [] value) {
        List<LogRecord> part = part(topic, partition);
        part.add(new LogRecord(topic, partition, part.size(), now, key, value));
        return part.size() - 1L;
    }

    /** Lets time pass, with the workers' beats. */
    void advance(long ms) {
        for (long end = now + ms; now < end; now += 50) {
            if (!stalled && now % 250 == 0) {
                workers.stream().filter(worker -> worker.alive).forEach(FakeWorker::beat);
            }
            run(core.onTick(now));
            deliver();
        }
    }

    /** Ends a standstill: what was sent meanwhile lands now. */
    void flow() {
        stalled = false;
        List<Effect> late = List.copyOf(held);
        held.clear();
        run(late);
        deliver();
    }

    void deliver() {
        boolean moved = !stalled;
        while (moved) {
            moved = false;
            List<Integer> keys = new ArrayList<>(positions.keySet());
            for (int key : journalsFirst ? keys.reversed() : keys) {
                moved |= read(key);
            }
        }
    }

    private boolean read(int key) {
        Topic topic = Topic.values()[key >> 8];
        List<LogRecord> records = part(topic, key & 0xff);
        boolean moved = false;
        Integer position = positions.get(key);
        while (position != null && position < records.size()) {
            positions.put(key, position + 1);
            run(core.onRecord(records.get(position), now));
            moved = true;
            position = positions.get(key);
        }
        if (position != null) {
            int before = positions.size();
            run(core.onCaughtUp(topic, key & 0xff, position, now));
            moved |= positions.size() != before || !positions.containsKey(key);
        }
        return moved;
    }

    void run(List<Effect> effects) {
        for (Effect effect : effects) {
            switch (effect) {
                case Effect.Append append -> {
                    if (stalled) {
                        held.add(append);
                    } else if (append.topic() == failing) {
                        run(core.onAppendFailed(append.token(), now));
                    } else {
                        long offset = land(append.topic(), append.partition(), append.key(), append.value());
                        run(core.onAppended(append.token(), offset, now));
                    }
                }
                case Effect.StartReading start ->
                    positions.put(
                            start.topic().ordinal() << 8 | start.partition(),
                            start.fromOffset() == LogReader.BEGINNING ? 0 : (int) start.fromOffset());
                case Effect.StopReading stop -> positions.remove(stop.topic().ordinal() << 8 | stop.partition());
                case Effect.ConnectLiveness connect -> connections.add(connect);
                case Effect.DisconnectLiveness gone -> {}
                case Effect.Observe observe -> events.add(observe.event());
            }
        }
    }

    Submit.Builder submit() {
        return Submit.newBuilder()
                .setTenant("t")
                .setModel(MODEL)
                .setCreatedMs(now)
                .setDeadlineMs(now + 600_000)
                .setPriority(2)
                .setStore(true)
                .setN(1)
                .setPromptText("hello");
    }

    /** Appends a request; its offset. */
    long submit(String id, Submit.Builder submit) {
        long req = append(
                Topic.REQUESTS,
                0,
                id,
                RequestRecord.newBuilder().setId(id).setSubmit(submit).build());
        advance(100);
        return req;
    }

    void request(String id, RequestRecord.Builder record) {
        append(Topic.REQUESTS, 0, id, record.setId(id).build());
        advance(100);
    }

    /** A worker's claim of attempt 1. */
    ByteString claim(String id, long req, FakeWorker worker) {
        byte[] bits = new byte[16];
        bits[0] = (byte) ++claims;
        ByteString aid = ByteString.copyFrom(bits);
        journal(
                id,
                req,
                JournalRecord.newBuilder()
                        .setClaim(Claim.newBuilder()
                                .setAttempt(1)
                                .setAid(aid)
                                .setWorker(worker.id)
                                .setIncarnation(worker.incarnation)
                                .setSlot(worker.slot)
                                .setWeightsHash(WEIGHTS)
                                .setNumericsId(worker.numerics)
                                .setPromptLength(4)
                                .setPromptHash(9)));
        return aid;
    }

    void tokens(String id, long req, ByteString aid, int start, int... ids) {
        Tokens.Builder tokens = Tokens.newBuilder().setAid(aid).setStart(start).setText("x");
        for (int each : ids) {
            tokens.addIds(each);
        }
        journal(id, req, JournalRecord.newBuilder().setTokens(tokens));
    }

    void end(String id, long req, ByteString aid, int n) {
        journal(
                id,
                req,
                JournalRecord.newBuilder()
                        .setEnd(End.newBuilder().setAid(aid).setN(n).setFinishReason("stop")));
    }

    void journal(String id, long req, JournalRecord.Builder record) {
        append(Topic.RESPONSES, 0, id, record.setId(id).setReq(req).build());
        deliver();
    }

    void member(MemberBeat.Builder beat) {
        append(Topic.MEMBERS, 0, beat.getNode(), beat.build());
        deliver();
    }

    /** All journal records of that kind. */
    List<JournalRecord> journal(JournalRecord.RecordCase kind) throws InvalidProtocolBufferException {
        List<JournalRecord> found = new ArrayList<>();
        for (LogRecord record : part(Topic.RESPONSES, 0)) {
            JournalRecord parsed = JournalRecord.parseFrom(record.value());
            if (parsed.getRecordCase() == kind) {
                found.add(parsed);
            }
        }
        return found;
    }
}
