package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/** The golden Llama models, computed by another implementation: ids equal, logits within float32 noise. */
class TorchGoldenTest {

    private static final float TOLERANCE = 1e-3f;

    static Stream<Case> cases() {
        return Stream.of(
                Case.folder("llama"),
                Case.folder("llama3"),
                Case.folder("llama-yarn"),
                Case.folder("smollm"),
                Case.gguf("tiny-llama-f16"),
                Case.gguf("tiny-llama-mixed"));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void logitsOfEveryPositionAgree(Case model) {
        JsonNode prompts = model.golden().get("prompts");
        float[] expected = model.logits("logits_all");
        try (ModelRuntime runtime = model.load(GoldenModels.blocks(16, 512), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(prompt(prompts, 40));
            runner.step(List.of(new Work(seq, 40, true)));
            for (int i = 0; i < 40; i++) {
                assertClose(seq.logits.get(i), expected, i);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void greedyIdsAndLogitsAgreeForEveryPromptAlone(Case model) {
        JsonNode prompts = model.golden().get("prompts");
        float[] last = model.logits("logits_last");
        float[] step32 = model.logits("logits_step32");
        for (int[] way : new int[][] {{16, 4096}, {1, 64}, {128, 7}}) {
            try (ModelRuntime runtime = model.load(GoldenModels.blocks(way[0], 512), 2)) {
                PagedRunner runner = new PagedRunner(runtime, 2);
                for (int p = 0; p < prompts.size(); p++) {
                    int[] ids = GoldenModels.ints(prompts.get(p).get("ids"));
                    Sequence seq = runner.sequence(ids);
                    while (seq.ids.size() < ids.length + 32) {
                        runner.step(List.of(new Work(seq, Math.min(way[1], seq.pending()), false)));
                    }
                    assertThat(seq.from(ids.length))
                            .isEqualTo(GoldenModels.ints(prompts.get(p).get("greedy")));
                    assertClose(seq.logits.getFirst(), last, p);
                    assertClose(seq.logits.get(31), step32, p);
                    seq.release();
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void greedyIdsAgreeWhenPromptsAreChunkedAndInterleaved(Case model) {
        JsonNode prompts = model.golden().get("prompts");
        try (ModelRuntime runtime = model.load(GoldenModels.blocks(8, 1024), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 3);
            List<Sequence> running = new ArrayList<>();
            List<int[]> lengths = new ArrayList<>();
            for (JsonNode prompt : prompts) {
                int[] ids = GoldenModels.ints(prompt.get("ids"));
                running.add(runner.sequence(ids));
                lengths.add(ids);
            }
            int chunk = 3;
            while (running.stream().anyMatch(s -> s.ids.size() < lengths.get(running.indexOf(s)).length + 32)) {
                List<Work> work = new ArrayList<>();
                for (int i = 0; i < running.size(); i++) {
                    Sequence s = running.get(i);
                    if (s.ids.size() < lengths.get(i).length + 32) {
                        work.add(new Work(s, Math.min(chunk, s.pending()), false));
                    }
                }
                runner.step(work);
                chunk = chunk % 50 + 7;
            }
            for (int i = 0; i < running.size(); i++) {
                int[] expected = GoldenModels.ints(prompts.get(i).get("greedy"));
                assertThat(running.get(i).from(lengths.get(i).length)).isEqualTo(expected);
            }
        }
    }

    private static int[] prompt(JsonNode prompts, int length) {
        for (JsonNode prompt : prompts) {
            if (prompt.get("ids").size() == length) {
                return GoldenModels.ints(prompt.get("ids"));
            }
        }
        throw new AssertionError("no prompt of " + length);
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
