package io.millrace.bench.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class OracleTest {

    @Test
    void lostDoubledAndSplicedTokensAreToldApart() {
        int[] whole = {1, 2, 3, 4, 5, 6};

        assertThat(compare(whole, whole)).containsExactly(0, 0, 0);
        assertThat(compare(whole, 1, 2, 3, 4)).as("the end is missing").containsExactly(2, 0, 0);
        assertThat(compare(whole, 1, 2, 4, 5, 6)).as("one is missing").containsExactly(1, 0, 0);
        assertThat(compare(whole, 1, 2, 2, 3, 4, 5, 6)).containsExactly(0, 1, 0);
        assertThat(compare(whole, 1, 2, 3, 9, 8, 7)).as("of another prefix").containsExactly(0, 0, 3);
    }

    private static long[] compare(int[] expected, int... got) {
        long[] tokens = new long[3];
        Judgement.compare(expected, got, tokens);
        return tokens;
    }

    @Test
    void aRequestsPhaseFollowsFromItsRecords() {
        var tale = new Tale("id", "gateway-1", 100, 10);
        tale.admitted(110);
        tale.claimed(120, 1, "worker-1");
        tale.accepted(130, 1);
        tale.accepted(140, 3);
        tale.claimed(150, 2, "worker-2");
        tale.accepted(160, 4);
        tale.accepted(170, 8);
        tale.ended(180);

        assertThat(List.of(99L, 105L, 115L, 125L, 145L, 155L, 165L, 175L).stream()
                        .map(tale::phaseAt))
                .containsExactly(
                        Phase.BEFORE_ADMISSION,
                        Phase.BEFORE_ADMISSION,
                        Phase.QUEUED,
                        Phase.PREFILL,
                        Phase.DECODING,
                        Phase.RESUMING,
                        Phase.DECODING,
                        Phase.NEAR_END);
        assertThat(tale.phaseAt(180)).isNull();
    }

    @Test
    void theMatrixHasEveryKindInEveryPhaseAndAllLoads() {
        List<FaultKind> kinds = List.of(FaultKind.values());
        int pairs = kinds.size() * Phase.values().length;

        List<ChaosRun.Planned> planned = ChaosRun.matrix(kinds, 3, pairs + 20);

        assertThat(planned).hasSize(pairs + 20);
        assertThat(planned.stream()
                        .map(each -> each.kind() + " " + each.phase())
                        .distinct())
                .hasSize(pairs);
        assertThat(planned.stream().map(ChaosRun.Planned::load).distinct()).containsExactly(LoadLevel.values());
        assertThat(ChaosRun.matrix(kinds, 3, 5)).hasSize(5);
    }

    @Test
    void onlyAWholeMatrixIsAskedForItsMissingPairs() {
        List<FaultKind> kinds = List.of(FaultKind.GATEWAY_CUT, FaultKind.WORKER_KILL);
        List<ChaosRun.Planned> whole = ChaosRun.matrix(kinds, 3, 12);
        var missing = new ChaosRun.Planned(FaultKind.GATEWAY_CUT, Phase.RESUMING, LoadLevel.MEDIUM);
        Set<ChaosRun.Planned> met = ChaosRun.matrix(kinds, 4, 12).stream()
                .map(each -> new ChaosRun.Planned(each.kind(), each.phase(), LoadLevel.MEDIUM))
                .filter(each -> !each.equals(missing))
                .collect(Collectors.toSet());

        assertThat(ChaosRun.unmet(whole, met)).containsExactly(missing);
        assertThat(ChaosRun.unmet(whole.subList(0, 8), met)).isEmpty();
    }
}
