package io.millrace.worker.journal;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.shared.log.kafka.TopicPlan;
import io.millrace.shared.proto.Accepted;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.SlotCancel;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.testing.TestBroker;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A worker on a real broker; the test plays the router. */
class WorkerNodeTest {

    private static final long WAIT_S = 20;
    private static final TopicPlan PLAN = new TopicPlan(2, 4, 1, Duration.ofMinutes(30));
    private static final long WEIGHTS = 42;

    private static TestBroker broker;

    private KafkaLog log;
    private HashModel model;
    private WorkerNode worker;
    private final Journals journals = new Journals();
    private long requests;

    /** Folds partition 0 of the journals, and keeps the last heartbeat; fields guarded by this. */
    private static final class Journals implements LogReader.Listener {
        private final PartitionFold fold = new PartitionFold(JournalFold.Keep.IDS_AND_TEXT, 0, 1_000);
        private @Nullable WorkerBeat beat;

        @Override
        public synchronized void onRecord(LogRecord record) {
            try {
                if (record.topic() == Topic.WORKERS) {
                    beat = WorkerBeat.parseFrom(record.value());
                } else {
                    fold.apply(record);
                }
            } catch (com.google.protobuf.InvalidProtocolBufferException e) {
                throw new AssertionError(e);
            }
        }

        synchronized @Nullable WorkerBeat beat() {
            return beat;
        }

        synchronized boolean terminal(long req) {
            JournalFold journal = fold.journal(req);
            return journal != null && journal.terminal();
        }

        synchronized int accepted(long req) {
            JournalFold journal = fold.journal(req);
            return journal == null ? 0 : journal.acceptedTotal();
        }

        synchronized boolean yielded(long req, String cause) {
            JournalFold journal = fold.journal(req);
            return journal != null && journal.yielded() && journal.yieldCause().equals(cause);
        }

        /** To be used when the journal no longer changes. */
        synchronized JournalFold journal(long req) {
            return Objects.requireNonNull(fold.journal(req));
        }
    }

    @BeforeAll
    static void startBroker() {
        broker = TestBroker.start();
    }

    @AfterAll
    static void stopBroker() {
        broker.close();
    }

    @BeforeEach
    void startWorker() throws Exception {
        start(broker.settings(), WorkerConfig.defaults());
    }

    private void start(KafkaSettings settings, WorkerConfig config) throws Exception {
        TopicAdmin.ensure(settings, PLAN, Duration.ofSeconds(30));
        log = new KafkaLog(settings);
        LogReader reader = log.reader("test", journals);
        reader.assign(Topic.RESPONSES, 0, LogReader.BEGINNING);
        reader.assign(Topic.WORKERS, 0, LogReader.BEGINNING);
        model = new HashModel("hash", WEIGHTS, 20);
        worker = new WorkerNode(config, log, List.of(model), Telemetry.disabled(), new SimpleMeterRegistry());
        worker.start();
    }

    @AfterEach
    void stopWorker() {
        worker.close();
        log.close();
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as(what).isLessThan(end);
            Thread.sleep(5);
        }
    }

    private static Submit submit(String prompt, int tokens, int n) {
        return Submit.newBuilder()
                .setModel("hash")
                .setSeed(11)
                .setDeadlineMs(System.currentTimeMillis() + 60_000)
                .setPromptText(prompt)
                .addPrefixHash(99)
                .setN(n)
                .setSampling(Sampling.newBuilder().setMaxTokens(tokens))
                .build();
    }

    private static String id(long req) {
        return "0000%032x".formatted(req + 1);
    }

    private long admit(Submit submit) {
        long req = requests++;
        JournalRecord admit = JournalRecord.newBuilder()
                .setId(id(req))
                .setReq(req)
                .setAdmit(Admit.newBuilder()
                        .setModel("hash")
                        .setWeightsHash(WEIGHTS)
                        .setN(submit.getN()))
                .build();
        log.append(Topic.RESPONSES, 0, id(req), admit.toByteArray()).join();
        return req;
    }

    private void assign(long req, Assignment.Builder assignment) {
        log.append(
                        Topic.ASSIGNMENTS,
                        worker.identity().slot(),
                        id(req),
                        assignment
                                .setId(id(req))
                                .setReq(req)
                                .setIncarnation(
                                        assignment.getIncarnation() == 0
                                                ? worker.identity().incarnation()
                                                : assignment.getIncarnation())
                                .build()
                                .toByteArray())
                .join();
    }

    private static Dispatch.Builder first(Submit submit) {
        return Dispatch.newBuilder().setAttempt(1).setWeightsHash(WEIGHTS).setSubmit(submit);
    }

    private long run(Submit submit) {
        long req = admit(submit);
        assign(req, Assignment.newBuilder().setDispatch(first(submit)));
        return req;
    }

    private static List<Integer> expected(Submit submit, int choice, int count) {
        return java.util.Arrays.stream(HashModel.expected(HashModel.ids(submit), submit.getSeed(), choice, count))
                .boxed()
                .toList();
    }

    private static List<Integer> ids(JournalFold journal, int choice) {
        return java.util.Arrays.stream(journal.ids(choice)).boxed().toList();
    }

    @Test
    void anAssignmentIsClaimedRunAndEndedForEveryChoice() throws Exception {
        Submit submit = submit("hello", 8, 3);
        long req = run(submit);
        await("the end", () -> journals.terminal(req));
        JournalFold journal = journals.journal(req);
        for (int choice = 0; choice < 3; choice++) {
            assertThat(ids(journal, choice)).isEqualTo(expected(submit, choice, 8));
            assertThat(journal.text(choice))
                    .isEqualTo(String.join(
                            "",
                            expected(submit, choice, 8).stream()
                                    .map(HashModel::text)
                                    .toList()));
        }
        Claim claim = Objects.requireNonNull(journal.claim());
        assertThat(claim.getPromptLength()).isEqualTo(5);
        assertThat(claim.getIncarnation()).isEqualTo(worker.identity().incarnation());
        assertThat(journal.usage().getPromptTokens()).isEqualTo(5);
        assertThat(journal.usage().getCompletionTokens()).isEqualTo(24);
        await("its leaving the table", () -> worker.executions() == 0);
        await(
                "a heartbeat with the prefix hint",
                () -> journals.beat() != null
                        && journals.beat().getModels(0).getPrefixHintsList().stream()
                                .anyMatch(hint -> hint.getHash() == 99));
    }

    @Test
    void aLaterAttemptGoesOnFromTheAcceptedIdsUnderTheRoutersAid() throws Exception {
        Submit submit = submit("resume me", 10, 1);
        long req = admit(submit);
        ByteString aid = ByteString.copyFrom(new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
        ByteString lost = ByteString.copyFrom(new byte[16]);
        List<Integer> before = expected(submit, 0, 4);
        write(req, r -> r.setClaim(Claim.newBuilder().setAttempt(1).setAid(lost).setWeightsHash(WEIGHTS)));
        write(
                req,
                r -> r.setTokens(io.millrace.shared.proto.Tokens.newBuilder()
                        .setAid(lost)
                        .addAllIds(before)));
        write(
                req,
                r -> r.setClaim(Claim.newBuilder()
                        .setAttempt(2)
                        .setAid(aid)
                        .setWeightsHash(WEIGHTS)
                        .setFence(true)));
        Dispatch.Builder dispatch = first(submit)
                .setAttempt(2)
                .setAid(aid)
                .setInexact(true)
                .addAccepted(Accepted.newBuilder().addAllIds(before));
        assign(req, Assignment.newBuilder().setDispatch(dispatch));
        assign(req, Assignment.newBuilder().setDispatch(dispatch));
        await("the end", () -> journals.terminal(req));
        // No claim here names numerics: END is what says it.
        assertThat(journals.journal(req).inexact()).isTrue();
        assertThat(ids(journals.journal(req), 0)).isEqualTo(expected(submit, 0, 10));
        // One for the warm-up, one for two assignments of the same aid.
        assertThat(model.submitted()).isEqualTo(2);
    }

    private void write(long req, java.util.function.UnaryOperator<JournalRecord.Builder> content) {
        var record = content.apply(JournalRecord.newBuilder().setId(id(req)).setReq(req));
        log.append(Topic.RESPONSES, 0, id(req), record.build().toByteArray()).join();
    }

    @Test
    void anotherPromptThanTheWorkerBeforeMadeStopsTheRequest() throws Exception {
        Submit submit = submit("resume me", 10, 1);
        long req = admit(submit);
        ByteString aid = ByteString.copyFrom(new byte[16]);
        write(req, r -> r.setClaim(Claim.newBuilder().setAttempt(1).setAid(aid).setWeightsHash(WEIGHTS)));
        ByteString second = ByteString.copyFromUtf8("0123456789abcdef");
        write(
                req,
                r -> r.setClaim(Claim.newBuilder().setAttempt(2).setAid(second).setWeightsHash(WEIGHTS)));
        assign(
                req,
                Assignment.newBuilder()
                        .setDispatch(first(submit).setAttempt(2).setAid(second).setPromptHash(1)));
        await("the end", () -> journals.terminal(req));
        JournalRecord last = Objects.requireNonNull(journals.journal(req).terminalRecord());
        assertThat(last.getFail().getCode()).isEqualTo("prompt_mismatch");
    }

    @Test
    void whatValidationFindsIsRefusedWithoutAClaim() throws Exception {
        long req = run(submit("refuse this", 5, 1));
        await("the end", () -> journals.terminal(req));
        JournalFold journal = journals.journal(req);
        assertThat(journal.attempt()).isZero();
        JournalRecord last = Objects.requireNonNull(journal.terminalRecord());
        assertThat(last.getRefuse().getStatus()).isEqualTo(400);
        assertThat(last.getRefuse().getParam()).isEqualTo("prompt");
    }

    @Test
    void aFailureOfTheEngineHandsTheRequestBack() throws Exception {
        long req = run(submit("break it", 5, 1));
        await("the hand-over", () -> journals.yielded(req, "fault"));
        await("its leaving the table", () -> worker.executions() == 0);
    }

    @Test
    void aPromptOfIdsComesBackAsTextWhenTheClientWantsIt() throws Exception {
        Submit submit = submit("", 2, 1).toBuilder()
                .setPromptIds(TokenIds.newBuilder().addIds(5).addIds(6))
                .setSampling(Sampling.newBuilder().setMaxTokens(2).setEcho(true))
                .build();
        long req = run(submit);
        await("the end", () -> journals.terminal(req));
        assertThat(journals.journal(req).outputEnded(0)).isTrue();
        assertThat(ids(journals.journal(req), 0)).isEqualTo(expected(submit, 0, 2));
    }

    @Test
    void aDeadlineEndsARunningRequestAndOneThatComesTooLate() throws Exception {
        Submit soon = submit("slow", 3_000, 1).toBuilder()
                .setDeadlineMs(System.currentTimeMillis() + 500)
                .build();
        long req = run(soon);
        Submit late = soon.toBuilder().setDeadlineMs(1).build();
        long past = run(late);
        await("both ends", () -> journals.terminal(req) && journals.terminal(past));
        JournalRecord running = Objects.requireNonNull(journals.journal(req).terminalRecord());
        JournalRecord refused = Objects.requireNonNull(journals.journal(past).terminalRecord());
        assertThat(running.getFail().getStatus()).isEqualTo(504);
        assertThat(refused.getRefuse().getStatus()).isEqualTo(504);
    }

    @Test
    void aSlotCancelStopsTheEngineAndFreesThePlace() throws Exception {
        long req = run(submit("long", 3_000, 1));
        await("some tokens", () -> journals.accepted(req) > 2);
        assign(req, Assignment.newBuilder().setCancel(SlotCancel.newBuilder().setCause("client")));
        await("the engine's stop", () -> model.running() == 0 && worker.executions() == 0);
        assertThat(journals.terminal(req)).isFalse();
    }

    @Test
    void assignmentsOfAnotherIncarnationAreIgnored() throws Exception {
        Submit submit = submit("ghost", 2, 1);
        long ghost = admit(submit);
        assign(ghost, Assignment.newBuilder().setIncarnation(5).setDispatch(first(submit)));
        long req = run(submit);
        await("the end", () -> journals.terminal(req));
        assertThat(journals.accepted(ghost)).isZero();
        assertThat(model.submitted()).isEqualTo(2);
    }

    @Test
    void aRequestTooLargeForItsAssignmentIsReadFromItsTopic() throws Exception {
        Submit submit = submit("x".repeat(400_000), 3, 1);
        long req = log.append(
                        Topic.REQUESTS,
                        0,
                        id(0),
                        RequestRecord.newBuilder()
                                .setId(id(0))
                                .setSubmit(submit)
                                .build()
                                .toByteArray())
                .join();
        requests = req;
        admit(submit);
        assign(req, Assignment.newBuilder().setDispatch(first(submit).clearSubmit()));
        await("the end", () -> journals.terminal(req));
        assertThat(ids(journals.journal(req), 0)).isEqualTo(expected(submit, 0, 3));
    }

    @Test
    void aDrainHandsOverAndSaysGoodbye() throws Exception {
        worker.close();
        log.close();
        start(broker.settings(), WorkerConfig.defaults().withDrainGrace(Duration.ofMillis(300)));
        long quick = run(submit("quick", 5, 1));
        long slow = run(submit("slow", 3_000, 1));
        await("some tokens", () -> journals.accepted(quick) > 0 && journals.accepted(slow) > 0);
        worker.drain().get(WAIT_S, TimeUnit.SECONDS);
        await("the hand-over", () -> journals.terminal(quick) && journals.yielded(slow, "drain"));
        await(
                "the last heartbeat",
                () -> journals.beat() != null && journals.beat().getLeaving());
        assertThat(worker.executions()).isZero();
        long afterwards = run(submit("late", 5, 1));
        await("its return", () -> journals.yielded(afterwards, "drain"));
        assertThat(journals.beat()).returns(true, WorkerBeat::getLeaving);
    }

    @Test
    void withoutTheLogForItsLeaseAWorkerStopsWhatItRuns() throws Exception {
        try (TestBroker own = TestBroker.start()) {
            worker.close();
            log.close();
            start(own.settings(), WorkerConfig.defaults().withLease(Duration.ofSeconds(1)));
            long req = run(submit("long", 30_000, 1));
            await("some tokens", () -> journals.accepted(req) > 2);
            own.stop();
            await("the engine's stop", () -> model.running() == 0);
            own.resume();
            await("the hand-over", () -> journals.yielded(req, "lease"));
            await("its leaving the table", () -> worker.executions() == 0);
            int count = journals.accepted(req);
            assertThat(ids(journals.journal(req), 0)).isEqualTo(expected(submit("long", 1, 1), 0, count));
        }
    }
}
