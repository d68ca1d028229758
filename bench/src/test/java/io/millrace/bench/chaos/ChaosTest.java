package io.millrace.bench.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code millrace bench chaos} in two shorter forms. */
class ChaosTest {

    @TempDir
    Path dir;

    @Test
    void killedWorkersGatewaysAndRoutersLeaveEveryAnswerWhole() throws Exception {
        ChaosReport report = run(
                setup(1, 1, 2),
                List.of(
                        planned(FaultKind.WORKER_KILL, Phase.DECODING),
                        planned(FaultKind.GATEWAY_KILL, Phase.PREFILL),
                        planned(FaultKind.ROUTER_KILL, Phase.DECODING)));

        assertWhole(report);
        assertThat(report.struck()).hasSize(3);
        assertThat(report.openAtFaults()).isGreaterThan(6);
        assertThat(report.watch().fences()).as("the killed worker's attempts").isNotEmpty();
    }

    @Test
    @Tag("long")
    void ofThreeBrokersAnyMayDieWithoutAFence() throws Exception {
        ChaosReport report = run(
                setup(3, 2, 3),
                List.of(
                        planned(FaultKind.BROKER_KILL_LEADER, Phase.DECODING),
                        planned(FaultKind.BROKER_KILL_FOLLOWER, Phase.PREFILL),
                        planned(FaultKind.BROKER_KILL_CONTROLLER, Phase.BEFORE_ADMISSION),
                        planned(FaultKind.WORKER_PAUSE_LONG, Phase.DECODING),
                        planned(FaultKind.GATEWAY_STOP, Phase.NEAR_END),
                        planned(FaultKind.WORKER_KILL, Phase.RESUMING)));

        assertWhole(report);
        assertThat(report.fencesOfBrokers()).isZero();
        assertThat(report.struck()).as("a worker dies before the last").hasSize(7);
        assertThat(report.watch().fences()).isNotEmpty();
    }

    /** How fast it was depends on who else uses the machine, so goodput does not count here. */
    private static void assertWhole(ChaosReport report) {
        for (String violation : report.violations()) {
            assertThat(violation).startsWith("goodput ");
        }
        assertThat(report.judgement().whole()).isEqualTo(report.streams());
        assertThat(report.streams()).isGreaterThan(10);
    }

    private ChaosReport run(ChaosSetup setup, List<ChaosRun.Planned> faults) throws Exception {
        ChaosReport report = new ChaosRun(setup, new Questions.Mock("alpha", 7, 30, 60), 7, 2, 600, System.out::println)
                .run(dir, possible -> faults);
        ChaosTable.print(report, new PrintWriter(System.out, true, StandardCharsets.UTF_8));
        return report;
    }

    private static ChaosSetup setup(int brokers, int routers, int workers) {
        return new ChaosSetup(brokers, routers, 2, workers, "mock:alpha", "alpha", 50, 4, 64);
    }

    private static ChaosRun.Planned planned(FaultKind kind, Phase phase) {
        return new ChaosRun.Planned(kind, phase, LoadLevel.MEDIUM);
    }
}
