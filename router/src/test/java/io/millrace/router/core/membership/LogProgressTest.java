package io.millrace.router.core.membership;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LogProgressTest {

    private final LogProgress progress = new LogProgress(250, 1_000);

    @Test
    void aNodeIsSilentOnlyWhenOwnBeatsWereReadLongAfterItsLast() {
        assertThat(progress.silent(0)).isFalse();
        for (long ms = 10_000; ms < 11_000; ms += 250) {
            progress.own(ms);
            assertThat(progress.silent(9_000)).isFalse();
        }
        progress.own(11_000);
        assertThat(progress.silent(9_000)).isTrue();
        assertThat(progress.silent(10_500)).isFalse();
    }

    @Test
    void afterAStandstillEveryoneGetsAFreshIntervalAndItsTimeDoesNotCount() {
        progress.own(10_000);
        progress.own(10_250);
        progress.own(15_000);
        assertThat(progress.elapsedMs()).isEqualTo(250 + 625);
        long ms = 15_250;
        for (; ms < 17_000; ms += 250) {
            progress.own(ms);
            assertThat(progress.silent(10_200)).isFalse();
        }
        progress.own(ms);
        assertThat(progress.silent(10_200)).isTrue();
    }

    @Test
    void fewKeysMoveWhenANodeJoins() {
        List<String> three = List.of("a", "b", "c");
        List<String> four = List.of("a", "b", "c", "d");
        int moved = 0;
        Map<String, Integer> shares = new HashMap<>();
        for (long key = 0; key < 4_000; key++) {
            String before = Rendezvous.pick(three, key);
            String after = Rendezvous.pick(four, key);
            shares.merge(String.valueOf(after), 1, Integer::sum);
            if (!String.valueOf(before).equals(after)) {
                moved++;
                assertThat(after).isEqualTo("d");
            }
        }
        assertThat(moved).isBetween(850, 1_150);
        assertThat(new ArrayList<>(shares.values())).allMatch(share -> share > 850);
        assertThat(Rendezvous.pick(List.of(), 1)).isNull();
    }
}
