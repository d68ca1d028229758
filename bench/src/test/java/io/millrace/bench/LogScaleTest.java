package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class LogScaleTest {

    private static LogScale scale(int workers, double tokensPerS) {
        return new LogScale(workers, 100, 20, tokensPerS, 250, 2_000, 20, 5, 3, 2, 270_000, 1.25e9, 0.5);
    }

    @Test
    void thePageHasTheTableThatIsComputed() throws IOException {
        String page = Files.readString(Path.of("..", "docs", "scale.md"));

        assertThat(page).contains(String.join("\n", ScaleCommand.table(scale(1_000, 1e6))));
    }

    @Test
    void brokersGrowWithTheTokensAndAreNeverFewerThanTheCopies() {
        assertThat(scale(1, 100).brokers()).isEqualTo(3);
        assertThat(scale(1_000, 2e6).brokersForRecords())
                .isBetween(
                        2 * scale(1_000, 1e6).brokersForRecords() - 2,
                        2 * scale(1_000, 1e6).brokersForRecords());
    }

    @Test
    void eachGatewayHasPartitionsOfItsOwn() {
        assertThat(scale(1_000, 1e6).partitions(500_000)).isEqualTo(128);
        assertThat(scale(1_000, 1e6).partitions(5_000))
                .as("a slow fold wants more")
                .isEqualTo(512);
    }

    /** A fiftieth of the size, with the routers' real code: every record is encoded, and counted. */
    @Test
    void whatASimulatedDeploymentWritesIsWhatThePaperSays() throws InterruptedException {
        LogScale small = new LogScale(40, 4, 2, 16_000, 50, 2_000, 20, 5, 3, 2, 270_000, 1.25e9, 0.5);
        ScaleSimulation.Outcome outcome = new ScaleSimulation(small, 8).run(2, 2);

        assertThat(outcome.lines()).hasSize(7).allSatisfy(line -> {
            assertThat(line.countedPerS()).as("%s", line).isCloseTo(line.paperPerS(), withinPercentage(10));
            assertThat(line.countedBytes()).as("%s", line).isCloseTo(line.paperBytes(), withinPercentage(10));
        });
        assertThat(outcome.streams()).isCloseTo(small.streams(), withinPercentage(10));
        assertThat(outcome.assignments()).isCloseTo((long) (2 * small.requestsPerS()), withinPercentage(10));
    }

    @Test
    void everyRecordThatIsMeasuredIsOneThatTheFoldAccepts() {
        assertThat(ScaleCommand.foldedPerS(1)).isPositive();
    }
}
