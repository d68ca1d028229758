package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.millrace.worker.engine.HostTimes;
import io.millrace.worker.engine.StepReport;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class HostShareTest {

    private static final HostTimes HOST = new HostTimes(100_000, 200_000, 300_000, 700_000);

    /** A step of 9 ms that begins every 10 ms. */
    private static StepReport step(int number, int decodeRows, HostTimes before) {
        return new StepReport(
                number,
                decodeRows,
                decodeRows,
                0,
                number * 10_000_000L,
                9_000_000,
                100_000,
                before,
                0,
                0,
                decodeRows,
                0,
                0,
                false,
                List.of());
    }

    @Test
    void allButTheArithmeticIsTheHosts() {
        List<StepReport> reports = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            reports.add(step(i, 4, HOST));
        }
        HostShare share = HostShare.of(reports, 4, 6_000_000);

        assertThat(share.steps()).isEqualTo(4);
        assertThat(share.stepMs()).isCloseTo(10, within(1e-9));
        // Of the call of 9 ms the kernels had all but the drawing.
        assertThat(share.nativeMs()).isCloseTo(8.8, within(1e-9));
        assertThat(share.share()).isCloseTo(0.12, within(1e-9));
        assertThat(share.listenerMs()).isCloseTo(1, within(1e-9));
    }

    @Test
    void stepsOfFewerStreamsDoNotCountAndNoneAtAllIsAnError() {
        List<StepReport> reports =
                List.of(step(0, 4, HOST), step(1, 4, HOST), step(2, 3, HOST), step(3, 4, HOST), step(4, 4, HOST));

        assertThat(HostShare.of(reports, 4, 0).steps()).isEqualTo(1);
        assertThatThrownBy(() -> HostShare.of(reports, 5, 0)).hasMessageContaining("5 streams");
    }
}
