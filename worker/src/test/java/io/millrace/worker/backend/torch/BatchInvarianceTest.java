package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The bits of a sequence's logits depend on nothing but the sequence. */
class BatchInvarianceTest {

    static Stream<Case> cases() {
        return Stream.of(
                Case.folder("llama"),
                Case.folder("llama3"),
                Case.folder("smollm"),
                Case.folder("gemma3"),
                Case.folder("qwen2_moe"),
                Case.folder("qwen3_moe"),
                Case.folder("deepseek_v2"),
                Case.gguf("tiny-llama-mixed"));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void bitsDoNotDependOnChunksBlocksThreadsOrCompany(Case model) {
        Random random = new Random(7);
        List<int[]> prompts = new ArrayList<>();
        for (int length : new int[] {1, 2, 17, 127, 128, 129, 200, 300}) {
            prompts.add(random.ints(length, 3, 300).toArray());
        }
        List<List<float[]>> alone = new ArrayList<>();
        try (ModelRuntime runtime = model.load(GoldenModels.blocks(16, 2048), 1)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            for (int[] prompt : prompts) {
                Sequence seq = runner.sequence(prompt);
                while (seq.ids.size() < prompt.length + 12) {
                    runner.step(List.of(new Work(seq, seq.pending(), true)));
                }
                alone.add(seq.logits);
                seq.release();
            }
        }
        for (int threads = 1; threads <= 3; threads++) {
            try (ModelRuntime runtime = model.load(GoldenModels.blocks(threads == 1 ? 4 : 32, 2048), threads)) {
                PagedRunner runner = new PagedRunner(runtime, threads);
                List<Sequence> all = prompts.stream().map(runner::sequence).toList();
                while (unfinished(all, prompts)) {
                    List<Work> work = new ArrayList<>();
                    for (int i = 0; i < all.size(); i++) {
                        Sequence seq = all.get(i);
                        if (seq.ids.size() < prompts.get(i).length + 12 && random.nextInt(4) > 0) {
                            int rows = random.nextBoolean() ? seq.pending() : 1 + random.nextInt(seq.pending());
                            work.add(new Work(seq, rows, true));
                        }
                    }
                    if (!work.isEmpty()) {
                        runner.step(work);
                    }
                }
                for (int i = 0; i < all.size(); i++) {
                    assertSameBits(
                            all.get(i).logits,
                            alone.get(i),
                            "prompt of " + prompts.get(i).length + ", " + threads + " threads");
                }
            }
        }
    }

    private static boolean unfinished(List<Sequence> all, List<int[]> prompts) {
        for (int i = 0; i < all.size(); i++) {
            if (all.get(i).ids.size() < prompts.get(i).length + 12) {
                return true;
            }
        }
        return false;
    }

    private static void assertSameBits(List<float[]> actual, List<float[]> expected, String what) {
        assertThat(actual).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < actual.size(); i++) {
            assertThat(actual.get(i)).as("%s, position %d", what, i).isEqualTo(expected.get(i));
        }
    }
}
