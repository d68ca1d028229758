package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.GoldenModels.Prompt;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.program.Op;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The golden models, computed by another implementation, in every instruction set of this machine. */
class CpuGoldenTest {

    private static final float TOLERANCE = 1e-3f;
    private static final int TOKENS = 32;

    /** Tokens of a block and rows of a chunk; each on a half of the prompts. */
    private static final int[][] WAYS = {{16, 4096}, {64, 7}};

    private static final double F16_RMS = 0.01;
    private static final double F16_EXPERTS_RMS = 0.04;
    private static final double BF16_RMS = 0.06;
    private static final double BF16_EXPERTS_RMS = 0.12;
    private static final double INT8_RMS = 0.12;

    static Stream<Case> cases() {
        return Stream.concat(Case.folders(), Stream.of(Case.gguf("tiny-llama-f16"), Case.gguf("tiny-llama-mixed")));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void float32GivesTheGreedyIdsAndLogitsOfEveryPrompt(Case model) {
        float[] last = model.logits("logits_last");
        float[] step32 = model.logits("logits_step32");
        for (int isa : CpuModels.instructionSets()) {
            CpuSettings settings = new CpuSettings(isa, CpuSettings.Precision.F32, false);
            for (int length : model.lengths()) {
                for (int way = 0; way < WAYS.length; way++) {
                    int chunk = WAYS[way][1];
                    int index = way;
                    try (ModelRuntime runtime = CpuModels.load(
                            Golden.path(model.file()), GoldenModels.blocks(WAYS[way][0], 512, length), 2, settings)) {
                        PagedRunner runner = new PagedRunner(runtime, 2);
                        model.prompts(length).stream()
                                .filter(p -> p.index() % WAYS.length == index)
                                .forEach(p -> check(runner, p, chunk, last, step32));
                    }
                }
            }
        }
    }

    /** Greedy ids and logits of a prompt that is computed in chunks. */
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
    void nativePrecisionStaysWithinTheBoundsOfItsTypes(Case model) {
        float[] expected = model.logits("logits_all");
        int length = model.lengths()[0];
        int[] prompt = model.prompts(length).stream()
                .map(Prompt::ids)
                .filter(ids -> ids.length == 40)
                .findFirst()
                .orElseThrow();
        boolean experts = experts(model);
        double bound = model.name().equals("tiny-llama-mixed") ? INT8_RMS : experts ? BF16_EXPERTS_RMS : BF16_RMS;
        for (int isa : CpuModels.instructionSets()) {
            CpuSettings settings = new CpuSettings(isa, CpuSettings.Precision.NATIVE, false);
            try (ModelRuntime runtime =
                    CpuModels.load(Golden.path(model.file()), GoldenModels.blocks(16, 512, length), 2, settings)) {
                PagedRunner runner = new PagedRunner(runtime, 1);
                Sequence seq = runner.sequence(prompt);
                runner.step(List.of(new Work(seq, 40, true)));
                assertThat(rms(seq.logits.subList(0, 40), expected))
                        .as(runtime.numericsId())
                        .isLessThan(bound);
            }
        }
    }

    /** What rounding of the cache alone does: everything else is float32. */
    @ParameterizedTest
    @MethodSource("cases")
    void everyTypeOfTheCacheStaysWithinItsBound(Case model) {
        float[] expected = model.logits("logits_all");
        int length = model.lengths()[0];
        int[] prompt = model.prompts(length).stream()
                .map(Prompt::ids)
                .filter(ids -> ids.length == 40)
                .findFirst()
                .orElseThrow();
        for (KvType type : EnumSet.complementOf(EnumSet.of(KvType.FP8))) {
            try (ModelRuntime runtime = CpuModels.load(
                    Golden.path(model.file()),
                    GoldenModels.blocks(16, 512, length).withType(type),
                    2,
                    CpuModels.F32)) {
                PagedRunner runner = new PagedRunner(runtime, 1);
                Sequence seq = runner.sequence(prompt);
                runner.step(List.of(new Work(seq, 39, true)));
                runner.step(List.of(new Work(seq, 1, true)));
                double off = rms(seq.logits.subList(0, 40), expected);
                System.out.printf("cache %s %s: %.5f%n", type.label(), model.name(), off);
                assertThat(off).as("%s %s", model.name(), runtime.numericsId()).isLessThan(bound(type, experts(model)));
                assertThat(runtime.numericsId().contains("kv-")).isEqualTo(type != KvType.F32);
            }
        }
    }

    /** Experts and latent attention too: no op of any family is left to another engine. */
    @ParameterizedTest
    @MethodSource("cases")
    void everyOpOfTheProgramRunsNatively(Case model) {
        int length = model.lengths()[0];
        Path path = Golden.path(model.file());
        long ops = CpuModels.decoder(path).program().ops().stream()
                .filter(op -> !(op instanceof Op.Sample))
                .count();
        for (int isa : CpuModels.instructionSets()) {
            CpuSettings settings = new CpuSettings(isa, CpuSettings.Precision.NATIVE, false);
            try (ModelRuntime runtime = CpuModels.load(path, GoldenModels.blocks(16, 64, length), 1, settings)) {
                PagedRunner runner = new PagedRunner(runtime, 1);
                runner.step(List.of(new Work(runner.sequence(new int[] {1, 2, 3}), 3, false)));
                assertThat(((CpuRuntime) runtime).ops())
                        .as(runtime.numericsId())
                        .isEqualTo(ops);
            }
        }
    }

    private static double bound(KvType type, boolean experts) {
        return switch (type) {
            case F32 -> TOLERANCE;
            case F16 -> experts ? F16_EXPERTS_RMS : F16_RMS;
            case BF16, INT8, FP8 -> experts ? BF16_EXPERTS_RMS : BF16_RMS;
        };
    }

    static boolean experts(Case model) {
        return model.name().contains("moe")
                || model.name().equals("deepseek_v2")
                || model.name().equals("mixtral");
    }

    /** Root mean square of the differences, relative to the deviation of what is expected. */
    static double rms(List<float[]> actual, float[] expected) {
        double mean = 0;
        for (float x : expected) {
            mean += x;
        }
        mean /= expected.length;
        double error = 0;
        double deviation = 0;
        for (int i = 0; i < expected.length; i++) {
            int width = actual.getFirst().length;
            error += Math.pow(actual.get(i / width)[i % width] - expected[i], 2);
            deviation += Math.pow(expected[i] - mean, 2);
        }
        return Math.sqrt(error / deviation);
    }

    private static void assertClose(float[] logits, float[] expected, int row) {
        float[] wanted = Arrays.copyOfRange(expected, row * logits.length, (row + 1) * logits.length);
        float worst = 0;
        for (int i = 0; i < logits.length; i++) {
            float off = Math.abs(logits[i] - wanted[i]);
            worst = off <= worst ? worst : off;
        }
        assertThat(worst).as("row %d", row).isLessThan(TOLERANCE);
    }
}
