package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

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

    @Test
    void everyRecordThatIsMeasuredIsOneThatTheFoldAccepts() {
        assertThat(ScaleCommand.foldedPerS(1)).isPositive();
    }
}
