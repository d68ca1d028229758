package io.millrace.standalone.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.InvalidProtocolBufferException;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.millrace.router.RouterProperties;
import io.millrace.router.node.RouterNode;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.shared.log.kafka.TopicPlan;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.telemetry.TelemetrySettings;
import io.millrace.shared.topic.Topic;
import io.millrace.shared.trace.RequestTrace;
import io.millrace.worker.journal.HashModel;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.journal.WorkerConfig;
import io.millrace.worker.journal.WorkerNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Routers and workers on one broker's log, each with a log client of its own, and a reader of the journals; the test plays
 * the gateway.
 */
final class Cluster implements AutoCloseable {

    static final int PARTITIONS = 4;
    private static final long WAIT_S = 30;
    private static final Duration DEADLINE_MAX = Duration.ofMinutes(30);

    /** A part and the log that is its own. */
    record Part<T extends AutoCloseable>(T node, KafkaLog log) {

        /** As a kill would: no word to anybody. */
        void kill() throws Exception {
            node.close();
            log.close();
        }
    }

    /** A request as the gateway knows it. */
    record Sent(String id, int partition, long req, Submit submit) {}

    private final KafkaSettings settings;
    private final KafkaLog log;
    private final TelemetrySettings tracing;
    private final List<Part<?>> parts = new ArrayList<>();
    private final Map<Integer, PartitionFold> folds = new HashMap<>();
    private final Map<String, WorkerBeat> beats = new HashMap<>();

    Cluster(KafkaSettings settings) {
        this(settings, TelemetrySettings.OFF);
    }

    Cluster(KafkaSettings settings, TelemetrySettings tracing) {
        this.settings = settings;
        this.tracing = tracing;
        TopicAdmin.ensure(settings, new TopicPlan(PARTITIONS, 8, 1, DEADLINE_MAX), Duration.ofSeconds(30));
        log = new KafkaLog(settings.withClientId("gateway"));
        LogReader reader = log.reader("gateway", this::read);
        for (int partition = 0; partition < PARTITIONS; partition++) {
            folds.put(partition, new PartitionFold(JournalFold.Keep.IDS_AND_TEXT, 0, 10_000));
            reader.assign(Topic.RESPONSES, partition, LogReader.BEGINNING);
        }
        reader.assign(Topic.WORKERS, 0, LogReader.BEGINNING);
    }

    private synchronized void read(LogRecord record) {
        try {
            if (record.topic() == Topic.WORKERS) {
                WorkerBeat beat = WorkerBeat.parseFrom(Objects.requireNonNull(record.value()));
                beats.put(beat.getWorker(), beat);
            } else {
                fold(record.partition()).apply(record);
            }
        } catch (InvalidProtocolBufferException e) {
            throw new AssertionError(e);
        }
    }

    private PartitionFold fold(int partition) {
        return Objects.requireNonNull(folds.get(partition));
    }

    Part<RouterNode> router(String name, Duration detachGrace) {
        var own = new KafkaLog(settings.withClientId(name));
        var router = new RouterNode(
                RouterProperties.defaults().withNode(name).withDetachGrace(detachGrace),
                DEADLINE_MAX,
                own,
                Telemetry.of(Telemetry.ROUTER, tracing),
                new SimpleMeterRegistry());
        router.start();
        var part = new Part<>(router, own);
        parts.add(part);
        return part;
    }

    Part<WorkerNode> worker(String name, HostedModel... models) throws InterruptedException {
        var own = new KafkaLog(settings.withClientId(name));
        var worker = new WorkerNode(
                WorkerConfig.defaults().withId(name).withDrainGrace(Duration.ofMillis(200)),
                own,
                List.of(models),
                Telemetry.of(Telemetry.WORKER, tracing),
                new SimpleMeterRegistry());
        worker.start();
        var part = new Part<>(worker, own);
        parts.add(part);
        return part;
    }

    static Submit submit(String model, String prompt, int tokens, int n) {
        long now = System.currentTimeMillis();
        return Submit.newBuilder()
                .setTenant("test")
                .setModel(model)
                .setSeed(prompt.hashCode())
                .setCreatedMs(now)
                .setDeadlineMs(now + 120_000)
                .setPriority(2)
                .setEstimatedTokens(prompt.length() + tokens)
                // Without a gateway in `members` a request counts as detached: the test has none.
                .setBackground(true)
                .setPromptText(prompt)
                .setN(n)
                .setSampling(Sampling.newBuilder().setMaxTokens(tokens))
                .build();
    }

    Sent send(Submit submit) {
        RequestId id = RequestId.random(Math.floorMod(submit.getSeed(), PARTITIONS));
        var record =
                RequestRecord.newBuilder().setId(id.text()).setSubmit(submit).build();
        long req = log.append(Topic.REQUESTS, id.partition(), id.text(), record.toByteArray())
                .join();
        return new Sent(id.text(), id.partition(), req, submit);
    }

    void cancel(Sent sent) {
        var record = RequestRecord.newBuilder()
                .setId(sent.id())
                .setCancel(CancelRequest.newBuilder().setTenant("test").setCause("client"))
                .build();
        log.append(Topic.REQUESTS, sent.partition(), sent.id(), record.toByteArray())
                .join();
    }

    synchronized int accepted(Sent sent) {
        JournalFold journal = fold(sent.partition()).journal(sent.req());
        return journal == null ? 0 : journal.acceptedTotal();
    }

    /** Outputs that are complete. */
    synchronized int outputs(Sent sent) {
        JournalFold journal = fold(sent.partition()).journal(sent.req());
        return journal == null ? 0 : journal.outputsEnded().size();
    }

    synchronized boolean terminal(Sent sent) {
        JournalFold journal = fold(sent.partition()).journal(sent.req());
        return journal != null && journal.terminal();
    }

    synchronized String workerOf(Sent sent) {
        JournalFold journal = fold(sent.partition()).journal(sent.req());
        var claim = journal == null ? null : journal.claim();
        return claim == null ? "" : claim.getWorker();
    }

    /** For a journal that no longer changes. */
    synchronized JournalFold journal(Sent sent) {
        return Objects.requireNonNull(fold(sent.partition()).journal(sent.req()));
    }

    /** What {@code millrace trace} prints of that id. */
    String trace(String id) throws InterruptedException {
        return String.join("\n", new RequestTrace(log, Duration.ofSeconds(WAIT_S)).lines(RequestTrace.parse(id)));
    }

    JournalRecord last(Sent sent) {
        return Objects.requireNonNull(journal(sent).terminalRecord());
    }

    void awaitEnd(Sent sent) throws InterruptedException {
        await("the end of " + sent.id(), () -> terminal(sent));
    }

    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as(what).isLessThan(end);
            Thread.sleep(5);
        }
    }

    /** The journal holds exactly what an undisturbed run gives. */
    void assertExact(Sent sent) {
        JournalFold journal = journal(sent);
        Submit submit = sent.submit();
        assertThat(Objects.requireNonNull(journal.terminalRecord()).getRecordCase())
                .isEqualTo(JournalRecord.RecordCase.END);
        for (int choice = 0; choice < submit.getN(); choice++) {
            int[] expected = HashModel.expected(
                    HashModel.ids(submit),
                    submit.getSeed(),
                    choice,
                    submit.getSampling().getMaxTokens());
            assertThat(journal.ids(choice)).isEqualTo(expected);
            var text = new StringBuilder();
            for (int id : expected) {
                text.append(HashModel.text(id));
            }
            assertThat(journal.text(choice)).isEqualTo(text.toString());
        }
        assertThat(journal.inexact()).isFalse();
    }

    @Override
    public void close() throws Exception {
        for (Part<?> part : parts) {
            part.kill();
        }
        log.close();
    }
}
