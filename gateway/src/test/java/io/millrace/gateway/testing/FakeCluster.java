package io.millrace.gateway.testing;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** Router and worker in one: beats with credits, writes the journals that each model's script says, and tells where they begin. */
public final class FakeCluster implements AutoCloseable {

    /** Offsets of a request and of its journal's first record. */
    private record Begun(long req, CompletableFuture<Long> offset) {}

    private final Log log;
    private final Map<String, Consumer<Journal>> scripts = new ConcurrentHashMap<>();
    private final Map<String, ModelCredit> credits = new ConcurrentHashMap<>();
    private final Map<String, Begun> begun = new ConcurrentHashMap<>();
    private final List<RequestRecord> requests = new CopyOnWriteArrayList<>();
    private final ScheduledExecutorService beats = Executors.newSingleThreadScheduledExecutor();
    private final LogReader reader;

    FakeCluster(Log log) {
        this.log = log;
        int partitions = log.partitions(Topic.REQUESTS);
        var ready = new CountDownLatch(partitions);
        this.reader = log.reader("fake-router", new LogReader.Listener() {
            @Override
            public void onRecord(LogRecord record) {
                request(record);
            }

            @Override
            public void onCaughtUp(Topic topic, int partition, long position) {
                ready.countDown();
            }
        });
        for (int i = 0; i < partitions; i++) {
            reader.assign(Topic.REQUESTS, i, LogReader.END);
        }
        beats.scheduleWithFixedDelay(this::beat, 0, 100, TimeUnit.MILLISECONDS);
        try {
            if (!ready.await(20, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the fake router is not ready");
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Serves a model by that script, with plenty of credits. */
    public FakeCluster serve(String model, Consumer<Journal> script) {
        return serve(
                ModelCredit.newBuilder()
                        .setModel(model)
                        .setCredits(1000)
                        .setWorkers(1)
                        .setMaxModelLen(2048)
                        .setDrainRate(100)
                        .setNumericsId(Journal.NUMERICS)
                        .build(),
                script);
    }

    public FakeCluster serve(ModelCredit credit, Consumer<Journal> script) {
        scripts.put(credit.getModel(), script);
        credits.put(credit.getModel(), credit);
        return this;
    }

    private void request(LogRecord record) {
        byte[] value = record.value();
        try {
            RequestRecord request = RequestRecord.parseFrom(value == null ? new byte[0] : value);
            requests.add(request);
            Consumer<Journal> script = scripts.get(request.getSubmit().getModel());
            if (request.hasSubmit() && script != null) {
                script.accept(new Journal(
                        each -> write(record, each), request.getId(), record.offset(), request.getSubmit()));
            } else if (request.getAttach().getLocate()) {
                locate(record, request.getId());
            }
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException(e);
        }
    }

    private void write(LogRecord request, JournalRecord record) {
        CompletableFuture<Long> offset = append(request.partition(), record);
        begun.putIfAbsent(record.getId(), new Begun(request.offset(), offset));
    }

    private CompletableFuture<Long> append(int partition, JournalRecord record) {
        return log.append(Topic.RESPONSES, partition, record.getId(), record.toByteArray());
    }

    /** Says where the journal of that id begins. */
    private void locate(LogRecord question, String id) {
        Begun journal = begun.get(id);
        JournalRecord.Builder answer = JournalRecord.newBuilder().setId(id);
        Dup.Builder dup = Dup.newBuilder().setDuplicate(question.offset());
        if (journal == null) {
            append(question.partition(), answer.setDup(dup.setUnknown(true)).build());
        } else {
            journal.offset()
                    .thenAccept(begin -> append(
                            question.partition(),
                            answer.setReq(journal.req())
                                    .setDup(dup.setAdmitOffset(begin))
                                    .build()));
        }
    }

    private void beat() {
        MemberBeat beat = MemberBeat.newBuilder()
                .setNode("fake-router")
                .setRole(MemberBeat.Role.ROUTER)
                .setTimeMs(System.currentTimeMillis())
                .addAllCredits(credits.values())
                .build();
        log.append(Topic.MEMBERS, 0, "fake-router", beat.toByteArray());
    }

    /** Everything that gateways appended to {@code requests}. */
    public List<RequestRecord> requests() {
        return requests;
    }

    /** Waits for such a record; fails after 10 s. */
    public RequestRecord await(Predicate<RequestRecord> wanted) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (System.nanoTime() < deadline) {
            for (RequestRecord each : requests) {
                if (wanted.test(each)) {
                    return each;
                }
            }
            TimeUnit.MILLISECONDS.sleep(5);
        }
        throw new AssertionError("no such record among " + requests.size());
    }

    @Override
    public void close() {
        beats.shutdownNow();
        reader.close();
    }
}
