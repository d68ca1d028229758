package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.GoldenModels.Prompt;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Golden models of every family, computed by another implementation: ids equal, logits within float32 noise. */
class TorchGoldenTest {

    private static final float TOLERANCE = 1e-3f;
    private static final int TOKENS = 32;

    static Stream<Case> cases() {
        return Stream.concat(Case.folders(), Stream.of(Case.gguf("tiny-llama-f16"), Case.gguf("tiny-llama-mixed")));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void logitsOfEveryPositionAgree(Case model) {
        float[] expected = model.logits("logits_all");
        int length = model.lengths()[0];
        int[] prompt = model.prompts(length).stream()
                .map(Prompt::ids)
                .filter(ids -> ids.length == 40)
                .findFirst()
                .orElseThrow();
        try (ModelRuntime runtime = model.load(GoldenModels.blocks(16, 512, length), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(prompt);
            runner.step(List.of(new Work(seq, 40, true)));
            for (int i = 0; i < 40; i++) {
                assertClose(seq.logits.get(i), expected, i);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void greedyIdsAndLogitsAgreeForEveryPromptAlone(Case model) {
        float[] last = model.logits("logits_last");
        float[] step32 = model.logits("logits_step32");
        int[][] ways = {{16, 4096}, {1, 64}, {128, 7}};
        for (int length : model.lengths()) {
            // Each way on a third of the prompts.
            for (int w = 0; w < ways.length; w++) {
                int way = w;
                try (ModelRuntime runtime = model.load(GoldenModels.blocks(ways[w][0], 512, length), 2)) {
                    PagedRunner runner = new PagedRunner(runtime, 2);
                    model.prompts(length).stream()
                            .filter(p -> p.index() % ways.length == way)
                            .forEach(p -> check(runner, p, ways[way][1], last, step32));
                }
            }
        }
    }

    static void check(PagedRunner runner, Prompt prompt, int chunk, float[] last, float[] step32) {
        Sequence seq = runner.sequence(prompt.ids());
        while (seq.ids.size() < prompt.ids().length + TOKENS) {
            runner.step(List.of(new Work(seq, Math.min(chunk, seq.pending()), false)));
        }
        assertThat(seq.from(prompt.ids().length)).isEqualTo(prompt.greedy());
        assertClose(seq.logits.getFirst(), last, prompt.index());
        assertClose(seq.logits.get(TOKENS - 1), step32, prompt.index());
        seq.release();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void greedyIdsAgreeWhenPromptsAreChunkedAndInterleaved(Case model) {
        for (int length : model.lengths()) {
            List<Prompt> prompts = model.prompts(length);
            try (ModelRuntime runtime = model.load(GoldenModels.blocks(8, 1024, length), 2)) {
                PagedRunner runner = new PagedRunner(runtime, 3);
                List<Sequence> running = new ArrayList<>();
                prompts.forEach(p -> running.add(runner.sequence(p.ids())));
                int chunk = 3;
                List<Work> work = work(prompts, running, chunk);
                while (!work.isEmpty()) {
                    runner.step(work);
                    chunk = chunk % 50 + 7;
                    work = work(prompts, running, chunk);
                }
                for (int i = 0; i < running.size(); i++) {
                    assertThat(running.get(i).from(prompts.get(i).ids().length))
                            .isEqualTo(prompts.get(i).greedy());
                }
            }
        }
    }

    private static List<Work> work(List<Prompt> prompts, List<Sequence> running, int chunk) {
        List<Work> work = new ArrayList<>();
        for (int i = 0; i < running.size(); i++) {
            Sequence s = running.get(i);
            if (s.ids.size() < prompts.get(i).ids().length + TOKENS) {
                work.add(new Work(s, Math.min(chunk, s.pending()), false));
            }
        }
        return work;
    }

    private static void assertClose(float[] logits, float[] expected, int row) {
        float[] wanted = Arrays.copyOfRange(expected, row * logits.length, (row + 1) * logits.length);
        float worst = 0;
        for (int i = 0; i < logits.length; i++) {
            worst = Math.max(worst, Math.abs(logits[i] - wanted[i]));
        }
        assertThat(worst).as("row %d", row).isLessThan(TOLERANCE);
    }
}
