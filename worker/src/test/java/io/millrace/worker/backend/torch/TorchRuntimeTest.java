package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.sampling.ListedHistory;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The runtime's seam: steps, block copies, ids that stay on the device, memory. */
class TorchRuntimeTest {

    private static final Case MODEL = Case.gguf("tiny-llama-f16");

    @Test
    void oneStepIsOneCallWhateverTheBatch() {
        try (ModelRuntime runtime = MODEL.load(GoldenModels.blocks(16, 2048), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            List<Work> work = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                work.add(new Work(runner.sequence(new Random(i).ints(30, 0, 300).toArray()), 30, false));
            }
            runner.step(work);
            runner.step(work.stream().map(w -> new Work(w.sequence(), 1, false)).toList());
            assertThat(runtime.steps()).isEqualTo(2);
        }
    }

    @Test
    void aCopiedBlockContinuesAsTheOriginal() {
        try (ModelRuntime runtime = MODEL.load(GoldenModels.blocks(16, 256), 1)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            int[] prompt = new Random(5).ints(27, 0, 300).toArray();
            Sequence original = runner.sequence(prompt);
            runner.step(List.of(new Work(original, 27, false)));
            Sequence copy = runner.sequence(original.from(0));
            copy.computed = 27;
            copy.blocks.add(original.blocks.getFirst());
            Sequence spare = runner.sequence(new int[] {1});
            runner.step(List.of(new Work(spare, 1, false)));
            copy.blocks.add(spare.blocks.getFirst());
            runtime.copyBlocks(0, new int[] {original.blocks.get(1)}, new int[] {copy.blocks.get(1)});
            for (int i = 0; i < 10; i++) {
                runner.step(List.of(new Work(original, 1, false)));
                runner.step(List.of(new Work(copy, 1, false)));
            }
            assertThat(copy.from(27)).isEqualTo(original.from(27));
        }
    }

    @Test
    void blocksAreReadBeforeAnyIsWritten() {
        try (ModelRuntime runtime = MODEL.load(GoldenModels.blocks(4, 32), 1)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(new int[] {5, 6, 7, 8, 9, 10, 11, 12});
            runner.step(List.of(new Work(seq, 8, true)));
            int a = seq.blocks.get(0);
            int b = seq.blocks.get(1);
            runtime.copyBlocks(0, new int[] {a, b}, new int[] {b, a});
            seq.blocks.set(0, b);
            seq.blocks.set(1, a);
            Sequence fresh = runner.sequence(seq.from(0));
            runner.step(List.of(new Work(seq, 1, false)));
            runner.step(List.of(new Work(fresh, 9, false)));
            assertThat(seq.logits.getLast()).isEqualTo(fresh.logits.getLast());
        }
    }

    @Test
    void aNegativeTokenIsTheIdSampledByThatRowBefore() {
        int[] prompt = {3, 1, 4, 1, 5};
        try (ModelRuntime runtime = MODEL.load(GoldenModels.blocks(16, 64), 1)) {
            StepOutputs first = runtime.run(single(prompt, 0, prompt.length));
            SampledToken chosen = first.sampled()[0];
            assertThat(chosen).isNotNull();
            StepOutputs named = runtime.run(single(new int[] {-1}, prompt.length, prompt.length + 1));
            StepOutputs direct = runtime.run(single(new int[] {chosen.id()}, prompt.length, prompt.length + 1));
            assertThat(named.logits()).isNotNull().isDeepEqualTo(direct.logits());
            assertThatThrownBy(() -> runtime.run(single(new int[] {-2}, prompt.length, prompt.length + 1)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("row 1 of the step before");
        }
    }

    private static StepInputs single(int[] tokens, int from, int context) {
        int[] positions = new int[tokens.length];
        for (int i = 0; i < positions.length; i++) {
            positions[i] = from + i;
        }
        return new StepInputs(
                tokens,
                positions,
                new int[][] {positions},
                new int[] {0, tokens.length},
                new int[] {context},
                new int[][][] {{{0, 1, 2, 3}}},
                new int[] {tokens.length - 1},
                new SamplingRow[] {
                    new SamplingRow(SamplingParams.GREEDY, 0, 0, context, ListedHistory.NONE, new int[0], true)
                },
                new int[1]);
    }

    @Test
    void aCacheTooSmallForOneSequenceIsRefusedWithTheNumbers() {
        assertRefused(new KvOptions(16, 0, 100_000, 0), "MR-MEM-001", "KV cache needs 1 MiB");
        assertRefused(new KvOptions(16, 100_000_000, 0, 0), "MR-MEM-001", "weights in float32");
        assertRefused(new KvOptions(24, 10, 0, 0), "MR-CONFIG-001", "24 tokens");
    }

    private static void assertRefused(KvOptions options, String code, String part) {
        assertThatThrownBy(() -> MODEL.load(options, 1))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContaining(part);
    }

    @Test
    void progressRisesToTheEndAndTheMemoryBudgetIsUsed() {
        List<Double> fractions = new ArrayList<>();
        LoadProgress progress = (phase, fraction) -> {
            if (phase.equals("weights")) {
                fractions.add(fraction);
            }
        };
        try (GgufFile source = GgufFile.open(Golden.path("gguf/tiny-llama-f16.gguf"))) {
            DecoderConfig config = DecoderConfig.fromGguf("tiny", source.metadata());
            Decoder decoder = Decoder.of(config, source);
            long budget = 8 << 20;
            try (ModelRuntime runtime =
                    TorchBackend.load(decoder, source, new KvOptions(16, 0, budget, 0), 2, progress)) {
                long each = MemoryPlan.blockBytes(runtime.kvLayout().groups().getFirst(), 16);
                assertThat(runtime.kvLayout().groups().getFirst().blocks()).isEqualTo((int) (budget / each));
                assertThat(runtime.numericsId()).startsWith("torch-2.").contains("-f32-");
            }
        }
        assertThat(fractions).isSorted().last().isEqualTo(1.0);
    }
}
