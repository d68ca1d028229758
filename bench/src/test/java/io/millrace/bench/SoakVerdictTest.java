package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What a soak takes for growth, and what for the swing of single samples. */
class SoakVerdictTest {

    private static final long HEAP = 200L << 20;
    private static final SoakSample IDLE = sample(0, 0, 0, 0, 0);

    private static SoakSample sample(long second, long heap, long files, int threads, double queued) {
        return new SoakSample(
                second,
                heap,
                files,
                threads,
                Map.of("millrace_router_requests_queued", queued, SoakSample.BLOCKS, queued));
    }

    private static List<SoakSample> samples(long heapStep, long filesStep, int threadsStep, double queuedStep) {
        List<SoakSample> all = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            long swing = i % 2 == 0 ? 12L << 20 : 0;
            all.add(sample(i, HEAP + swing + i * heapStep, 100 + i * filesStep, 50 + i * threadsStep, i * queuedStep));
        }
        return all;
    }

    @Test
    void samplesThatSwingAreFlat() {
        assertThat(SoakVerdict.judge(samples(0, 0, 0, 0), IDLE, 0)).isEmpty();
    }

    @Test
    void whatGrowsIsNamed() {
        assertThat(SoakVerdict.judge(samples(6L << 20, 0, 0, 0), IDLE, 0))
                .singleElement()
                .asString()
                .contains("heap");
        assertThat(SoakVerdict.judge(samples(0, 5, 3, 20), IDLE, 0))
                .hasSize(3)
                .anyMatch(line -> line.startsWith("file handles grew by 40"))
                .anyMatch(line -> line.startsWith("threads grew by 24"))
                .anyMatch(line -> line.startsWith("millrace_router_requests_queued grew by 160"));
    }

    @Test
    void failuresAndWhatIsLeftAtIdleAreWrong() {
        assertThat(SoakVerdict.judge(samples(0, 0, 0, 0), sample(0, 0, 0, 0, 1), 2))
                .hasSize(2)
                .anyMatch(line -> line.startsWith("2 requests failed"))
                .anyMatch(line -> line.contains("although nobody asks"));
        assertThat(SoakVerdict.judge(samples(0, 0, 0, 0).subList(0, 5), IDLE, 0))
                .singleElement()
                .asString()
                .contains("too few");
    }

    @Test
    void gaugesOfTheSameNameAreSummed() {
        String metrics = """
                # HELP millrace_num_requests_running x
                millrace_num_requests_running{model_name="a"} 2.0
                millrace_num_requests_running{model_name="b"} 3.0
                millrace_num_requests_running_total 9.0
                millrace_kv_cache_blocks_used{worker="w"} 0.0
                """;
        assertThat(SoakSample.underWay(metrics))
                .isEqualTo(Map.of("millrace_num_requests_running", 5.0, "millrace_kv_cache_blocks_used", 0.0));
    }
}
