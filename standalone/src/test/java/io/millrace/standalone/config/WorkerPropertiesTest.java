package io.millrace.standalone.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.serving.ModelOptions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;

class WorkerPropertiesTest {

    @Test
    void workersAndTheirModelsTogetherComputeOnNoMoreThreadsThanThereAreProcessors() {
        for (int processors : new int[] {1, 2, 3, 4, 7, 16, 96}) {
            for (int workers = 0; workers <= 9; workers++) {
                for (int models = 0; models <= 3; models++) {
                    int pools = Math.max(1, workers) * Math.max(1, models);
                    int each = WorkerProperties.share(processors, workers, models);
                    assertThat(each).isPositive();
                    assertThat(each * pools)
                            .as("%d processors, %d workers, %d models", processors, workers, models)
                            .isLessThanOrEqualTo(Math.max(processors, pools));
                }
            }
        }
    }

    @Test
    void theThreadsOfAModelAreItsShareUnlessTheyAreNamed() {
        int processors = Runtime.getRuntime().availableProcessors();
        assertThat(bound(1, 0).threadsEach()).isEqualTo(processors);
        assertThat(bound(2, 0).threadsEach()).isEqualTo(Math.max(1, processors / 2));
        assertThat(bound(10 * processors, 0).threadsEach()).isEqualTo(1);
        assertThat(bound(4, 3).threadsEach()).isEqualTo(3);
    }

    @Test
    void memoryOfTheHostIsASizeOrChosen() {
        assertThat(bound(Map.of()).kvHostBytes()).isEqualTo(ModelOptions.CHOOSE);
        assertThat(host("0")).isZero();
        assertThat(host("512MB")).isEqualTo(512L << 20);
        for (String bad : List.of("much", "-3MB", "")) {
            assertThatThrownBy(() -> host(bad))
                    .hasMessageContaining("kv-host-memory is " + bad + ";")
                    .hasMessageContaining("512MB")
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-SERVE-003"));
        }
    }

    private static long host(String memory) {
        return bound(Map.of("millrace.worker.kv-host-memory", memory)).kvHostBytes();
    }

    private static WorkerProperties bound(int count, int threads) {
        return bound(Map.of("millrace.worker.count", count, "millrace.worker.threads", threads));
    }

    private static WorkerProperties bound(Map<String, Object> values) {
        return new Binder(new MapConfigurationPropertySource(values))
                .bindOrCreate("millrace.worker", WorkerProperties.class);
    }
}
