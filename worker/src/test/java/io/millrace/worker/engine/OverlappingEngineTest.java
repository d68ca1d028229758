package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static io.millrace.worker.engine.MockEngine.overlapping;
import static io.millrace.worker.engine.Requests.ids;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.sampling.SamplingParams;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The engine over a runtime that runs a step while the next is planned. */
class OverlappingEngineTest {

    private static OverlappingRuntime runtime(TestEngine e) {
        return (OverlappingRuntime) e.runtime;
    }

    @Test
    void aStepIsSubmittedBeforeTheOneBeforeItIsCollected() throws Exception {
        try (TestEngine e = overlapping(config(100), mock(64), in -> {})) {
            assertThat(e.run(Requests.of("a", 1, 2).maxTokens(4)).ids(0)).isEqualTo(TOKENS.greedy(new int[] {1, 2}, 4));
            e.awaitIdle();
            // The last id is known to be the last: nothing is computed in vain.
            assertThat(runtime(e).calls)
                    .containsExactly(
                            "submit 2", "submit 1", "collect", "submit 1", "collect", "submit 1", "collect", "collect");
        }
    }

    @Test
    void whatAStopIdEndsIsComputedOnceMoreAndThrownAway() throws Exception {
        int[] prompt = ids(3, 9, VOCABULARY);
        int[] expected = TOKENS.greedy(prompt, 6);
        try (TestEngine e = overlapping(config(100), mock(64), in -> {})) {
            Recorder r = e.run(Requests.of("a", prompt).stopIds(expected[3]).maxTokens(20));
            assertThat(r.ended(0).n()).isEqualTo(4);
            assertThat(r.ids(0)).startsWith(expected[0], expected[1], expected[2]);
            e.awaitIdle();
            assertThat(runtime(e).calls.stream().filter(c -> c.startsWith("submit")))
                    .hasSize(5);
        }
    }

    @Test
    void choicesForkAndPenaltiesSeeTheIdThatIsNotKnownYet() throws Exception {
        SamplingParams p = new SamplingParams(1, 20, 0.9f, 0, 1, 0, 0, 1, Map.of(), 2);
        List<List<int[]>> seen = new ArrayList<>();
        for (boolean overlaps : new boolean[] {true, false}) {
            var mock = mock(64).withRealSampling();
            try (TestEngine e =
                    overlaps ? overlapping(config(100), mock, in -> {}) : new MockEngine(config(100), mock)) {
                Recorder r =
                        e.run(Requests.of("a", 5, 6, 7).n(3).sampling(p, 11).maxTokens(12));
                seen.add(List.of(r.ids(0), r.ids(1), r.ids(2)));
            }
        }
        for (int c = 0; c < 3; c++) {
            assertThat(seen.get(0).get(c)).isEqualTo(seen.get(1).get(c));
        }
    }

    @Test
    void whatDependsOnTheLastIdIsNotPlannedAhead() throws Exception {
        try (TestEngine e = overlapping(config(100), mock(64), in -> {})) {
            Recorder r = e.run(Requests.of("a", 1, 2).badWords(new int[] {5, 6}).maxTokens(5));
            assertThat(r.ended(0).n()).isEqualTo(5);
            assertThat(runtime(e).most()).isEqualTo(1);
        }
        try (TestEngine e = overlapping(config(100), mock(64), in -> {})) {
            Recorder r = e.run(Requests.of("a", 1, 2, 3, 4).promptLogprobs(2).maxTokens(5));
            assertThat(r.promptLogprobs()).hasSize(4);
            assertThat(r.ids(0)).isEqualTo(TOKENS.greedy(new int[] {1, 2, 3, 4}, 5));
            assertThat(runtime(e).most()).as("once the prompt is scored").isEqualTo(2);
        }
    }

    @Test
    void aFailedStepTakesTheOneAfterItAlongAndCountsOnce() throws Exception {
        int[] step = {0};
        try (TestEngine e = overlapping(config(100), mock(64), in -> {
            if (++step[0] == 6) {
                throw new IllegalStateException("the device is gone");
            }
        })) {
            Recorder hit = e.run(Requests.of("a", 1, 2).maxTokens(20));
            assertThat(hit.failure()).contains("MR-ENGINE-006").contains("the device is gone");
            assertThat(hit.ids(0)).isEqualTo(TOKENS.greedy(new int[] {1, 2}, 5));
            assertThat(e.run(Requests.of("b", 1, 2).maxTokens(9)).ids(0)).isEqualTo(TOKENS.greedy(new int[] {1, 2}, 9));
            assertThat(e.engine.healthy()).isTrue();
        }
    }
}
