package io.millrace.standalone.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.router.node.RouterNode;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.telemetry.TelemetrySettings;
import io.millrace.shared.testing.TestBroker;
import io.millrace.standalone.cluster.Cluster.Part;
import io.millrace.standalone.cluster.Cluster.Sent;
import io.millrace.standalone.telemetry.OtlpReceiver;
import io.millrace.worker.journal.HashModel;
import io.millrace.worker.journal.WorkerNode;
import io.opentelemetry.proto.trace.v1.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Routers and workers together on a real broker, with a model whose every token depends on all before it. */
class ClusterTest {

    private static final Duration GRACE = Duration.ofSeconds(30);

    private static TestBroker broker;

    @BeforeAll
    static void startBroker() {
        broker = TestBroker.start();
    }

    @AfterAll
    static void stopBroker() {
        broker.close();
    }

    private static HashModel model(String name, int paceMs) {
        return new HashModel(name, name.hashCode(), paceMs);
    }

    @Test
    void aRequestIsAdmittedRoutedRunAndEnded() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            HashModel model = model("m", 2);
            cluster.worker("w1", model);
            List<Sent> all = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                all.add(cluster.send(Cluster.submit("m", "prompt " + i, 20, 1 + i % 2)));
            }
            for (Sent each : all) {
                cluster.awaitEnd(each);
                cluster.assertExact(each);
                assertThat(cluster.journal(each).attempt()).isEqualTo(1);
            }
            // One more for the warm-up: nothing ran twice.
            assertThat(model.submitted()).isEqualTo(21);
        }
    }

    @Test
    void whenAWorkerIsKilledTheOtherGoesOnWithTheSameTokens() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            Part<WorkerNode> first = cluster.worker("w1", model("m", 20));
            cluster.worker("w2", model("m", 20));
            List<Sent> all = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                all.add(cluster.send(Cluster.submit("m", "stream " + i, 150, 1)));
            }
            for (Sent each : all) {
                Cluster.await("tokens of " + each.id(), () -> cluster.accepted(each) > 5);
            }
            List<Sent> moved = all.stream()
                    .filter(each -> cluster.workerOf(each).equals("w1"))
                    .toList();
            assertThat(moved).isNotEmpty();
            Sent one = moved.getFirst();
            assertThat(cluster.trace(one.id())).contains("status  running", "attempt 1 on w1", "now: running ...");
            first.kill();
            for (Sent each : all) {
                cluster.awaitEnd(each);
                cluster.assertExact(each);
            }
            assertThat(moved).allSatisfy(each -> {
                assertThat(cluster.workerOf(each)).isEqualTo("w2");
                assertThat(cluster.journal(each).attempt()).isEqualTo(2);
            });
            assertThat(cluster.trace("resp_" + one.id()))
                    .contains("finished: length", "150 generated, 2 attempts")
                    .contains("router queue", "fence: attempt 2", "attempt 2 on w2", "lost attempt, until its fence");
            String unknown = one.id().substring(0, 4) + "00".repeat(16);
            assertThatThrownBy(() -> cluster.trace(unknown)).hasMessageContaining("There is no request " + unknown);
            assertThatThrownBy(() -> cluster.trace("ffff" + "00".repeat(16))).hasMessageContaining("4 partitions");
        }
    }

    @Test
    void aFailOverIsTheLostAttemptsSpanFromTheRouterAndASecondAttemptLinkedToIt() throws Exception {
        String trace = "0af7651916cd43dd8448eb211c80319c";
        String caller = "b7ad6b7169203331";
        try (OtlpReceiver receiver = OtlpReceiver.start();
                var cluster = new Cluster(
                        broker.settings(), new TelemetrySettings(receiver.endpoint(), 1, 20, 0, Map.of()))) {
            cluster.router("r1", GRACE);
            Part<WorkerNode> first = cluster.worker("w1", model("m", 20));
            Sent sent = cluster.send(Cluster.submit("m", "a fail-over", 60, 1).toBuilder()
                    .setTrace(TraceContext.newBuilder().setTraceparent("00-" + trace + "-" + caller + "-01"))
                    .build());
            Cluster.await("tokens", () -> cluster.accepted(sent) > 5);
            first.kill();
            cluster.worker("w2", model("m", 20));
            cluster.awaitEnd(sent);

            var lost = receiver.await(
                    "the lost attempt",
                    s -> s.name().equals("attempt lost") && s.service().equals("millrace-router"));
            var second = receiver.await(
                    "the second attempt",
                    s -> s.name().equals("process assignments")
                            && s.attribute("millrace.attempt").equals("2"));
            assertThat(lost.trace()).isEqualTo(trace);
            assertThat(lost.parent()).isEqualTo(caller);
            assertThat(lost.attribute("millrace.worker")).isEqualTo("w1");
            assertThat(lost.span().getStatus().getCode()).isEqualTo(Status.StatusCode.STATUS_CODE_ERROR);
            assertThat(second.trace()).isEqualTo(trace);
            assertThat(second.attribute("millrace.worker")).isEqualTo("w2");
            assertThat(second.links()).containsExactly(lost.id());
            assertThat(receiver.await(
                                    "the second route",
                                    s -> s.name().equals("route")
                                            && s.attribute("millrace.attempt").equals("2"))
                            .links())
                    .containsExactly(lost.id());
            // What the first worker wrote before it was lost hangs on the span that the router wrote for it.
            assertThat(receiver.await("the first prefill", s -> s.name().equals("prefill"))
                            .parent())
                    .isEqualTo(lost.id());
        }
    }

    @Test
    void aDrainingWorkerHandsItsRequestsOver() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            Part<WorkerNode> first = cluster.worker("w1", model("m", 20));
            Sent sent = cluster.send(Cluster.submit("m", "hand me over", 150, 2));
            Cluster.await("tokens", () -> cluster.accepted(sent) > 5);
            cluster.worker("w2", model("m", 20));
            first.node().drain().get(20, TimeUnit.SECONDS);
            first.kill();
            cluster.awaitEnd(sent);
            cluster.assertExact(sent);
            assertThat(cluster.workerOf(sent)).isEqualTo("w2");
        }
    }

    @Test
    void whenARouterIsKilledRunningStreamsGoOnAndAnotherTakesOver() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            Part<RouterNode> first = cluster.router("r1", GRACE);
            cluster.worker("w1", model("m", 20));
            Sent running = cluster.send(Cluster.submit("m", "running", 150, 1));
            Cluster.await("tokens", () -> cluster.accepted(running) > 5);
            first.kill();
            Sent waiting = cluster.send(Cluster.submit("m", "waiting", 10, 1));
            cluster.router("r2", GRACE);
            cluster.awaitEnd(running);
            cluster.awaitEnd(waiting);
            cluster.assertExact(running);
            cluster.assertExact(waiting);
            assertThat(cluster.journal(running).attempt()).isEqualTo(1);
        }
    }

    @Test
    void aCancelledRequestStopsInItsEngine() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            HashModel model = model("m", 20);
            cluster.worker("w1", model);
            Sent sent = cluster.send(Cluster.submit("m", "endless", 4_000, 1));
            Cluster.await("tokens", () -> cluster.accepted(sent) > 5);
            cluster.cancel(sent);
            cluster.awaitEnd(sent);
            assertThat(cluster.last(sent).getRecordCase()).isEqualTo(RecordCase.CANCEL);
            Cluster.await("a free engine", () -> model.running() == 0);
        }
    }

    @Test
    void aDeadlineAndARefusalEndARequestWithTheirStatus() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            cluster.worker("w1", model("m", 20));
            Sent late = cluster.send(Cluster.submit("m", "slow", 4_000, 1).toBuilder()
                    .setDeadlineMs(System.currentTimeMillis() + 3_000)
                    .build());
            Sent refused = cluster.send(Cluster.submit("m", "refuse this", 5, 1));
            cluster.awaitEnd(refused);
            assertThat(cluster.last(refused).getRefuse().getStatus()).isEqualTo(400);
            cluster.awaitEnd(late);
            assertThat(cluster.last(late).getFail().getStatus()).isEqualTo(504);
        }
    }

    @Test
    void aRequestThatNoEngineCanRunFailsAndHarmsNoOther() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            cluster.worker("w1", model("m", 5));
            cluster.worker("w2", model("m", 5));
            Sent other = cluster.send(Cluster.submit("m", "sound", 100, 1));
            Sent poison = cluster.send(Cluster.submit("m", "break it", 10, 1));
            cluster.awaitEnd(poison);
            assertThat(cluster.last(poison).getFail().getCode()).isEqualTo("poison");
            assertThat(cluster.journal(poison).attempt()).isLessThanOrEqualTo(3);
            cluster.awaitEnd(other);
            cluster.assertExact(other);
            assertThat(cluster.journal(other).attempt()).isEqualTo(1);
        }
    }

    @Test
    void twoModelsAreServedEachByTheWorkerThatHasItAndAnUnknownOneIsRejected() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            cluster.worker("w1", model("alpha", 2), model("beta", 2));
            cluster.worker("w2", model("beta", 2));
            List<Sent> all = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                all.add(cluster.send(Cluster.submit("alpha", "a " + i, 10, 1)));
                all.add(cluster.send(Cluster.submit("beta", "b " + i, 10, 1)));
            }
            Sent unknown = cluster.send(Cluster.submit("gamma", "c", 10, 1));
            for (Sent each : all) {
                cluster.awaitEnd(each);
                cluster.assertExact(each);
                if (each.submit().getModel().equals("alpha")) {
                    assertThat(cluster.workerOf(each)).isEqualTo("w1");
                }
            }
            cluster.awaitEnd(unknown);
            assertThat(cluster.last(unknown).getReject().getStatus()).isIn(404, 503);
        }
    }

    @Test
    void aBrokerThatGoesAndComesBackCausesNoFence() throws Exception {
        try (TestBroker own = TestBroker.start();
                var cluster = new Cluster(own.settings())) {
            cluster.router("r1", GRACE);
            cluster.worker("w1", model("m", 20));
            cluster.worker("w2", model("m", 20));
            List<Sent> all = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                all.add(cluster.send(Cluster.submit("m", "stream " + i, 300, 1)));
            }
            for (Sent each : all) {
                Cluster.await("tokens of " + each.id(), () -> cluster.accepted(each) > 5);
            }
            own.stop();
            own.resume();
            for (Sent each : all) {
                cluster.awaitEnd(each);
                cluster.assertExact(each);
                assertThat(cluster.journal(each).attempt()).isEqualTo(1);
            }
        }
    }

    @Test
    void anOutageLongerThanAnyAppendWaitsLosesNothingThatWasAccepted() throws Exception {
        try (TestBroker own = TestBroker.start();
                var cluster = new Cluster(own.settings().withDeliveryTimeout(Duration.ofSeconds(3)))) {
            cluster.router("r1", GRACE);
            Part<WorkerNode> worker = cluster.worker("w1", model("m", 20));
            List<Sent> all = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                all.add(cluster.send(Cluster.submit("m", "stream " + i, 800, 1)));
            }
            for (Sent each : all) {
                Cluster.await("tokens of " + each.id(), () -> cluster.accepted(each) > 5);
            }
            own.stop();
            // Its appends fail, so the worker stops what it runs.
            Cluster.await("the worker's stop", () -> worker.node().executions() == 0);
            own.resume();
            for (Sent each : all) {
                cluster.awaitEnd(each);
                cluster.assertExact(each);
                assertThat(cluster.journal(each).attempt()).isGreaterThan(1);
            }
        }
    }
}
