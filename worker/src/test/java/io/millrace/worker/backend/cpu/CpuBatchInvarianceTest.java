package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.GoldenModels.Case;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The bits of a sequence's logits depend on nothing but the sequence. */
class CpuBatchInvarianceTest {

    private static final int TOKENS = 12;

    static Stream<Case> cases() {
        return Stream.of(
                Case.folder("llama"),
                Case.folder("llama3"),
                Case.folder("qwen2_moe"),
                Case.folder("deepseek_v2"),
                Case.gguf("tiny-llama-mixed"));
    }

    @ParameterizedTest
    @EnumSource(
            value = KvType.class,
            names = {"F16", "BF16", "INT8"})
    void bitsDoNotDependOnThemInOtherCachesEither(KvType type) {
        for (String name : List.of("llama3", "deepseek_v2")) {
            check(Case.folder(name), type);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void bitsDoNotDependOnChunksBlocksThreadsOrCompany(Case model) {
        check(model, KvType.F32);
    }

    private static void check(Case model, KvType type) {
        Path path = Golden.path(model.file());
        Random random = new Random(7);
        List<int[]> prompts = new ArrayList<>();
        for (int length : new int[] {1, 2, 17, 127, 255, 256, 257, 300}) {
            prompts.add(random.ints(length, 3, 300).toArray());
        }
        for (int isa : CpuModels.instructionSets()) {
            CpuSettings settings = new CpuSettings(isa, CpuSettings.Precision.NATIVE, false);
            List<List<float[]>> alone = alone(path, settings, type, prompts);
            for (int threads = 1; threads <= 3; threads++) {
                int block = threads == 1 ? 64 : 16;
                try (ModelRuntime runtime =
                        CpuModels.load(path, GoldenModels.blocks(block, 4096).withType(type), threads, settings)) {
                    List<Sequence> all = together(runtime, prompts, random);
                    for (int i = 0; i < all.size(); i++) {
                        assertSameBits(
                                all.get(i).logits,
                                alone.get(i),
                                runtime.numericsId() + ", prompt of " + prompts.get(i).length + ", " + threads
                                        + " threads");
                    }
                }
            }
        }
    }

    private static List<List<float[]>> alone(Path path, CpuSettings settings, KvType type, List<int[]> prompts) {
        List<List<float[]>> alone = new ArrayList<>();
        try (ModelRuntime runtime =
                CpuModels.load(path, GoldenModels.blocks(16, 2048).withType(type), 1, settings)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            for (int[] prompt : prompts) {
                Sequence seq = runner.sequence(prompt);
                while (seq.ids.size() < prompt.length + TOKENS) {
                    runner.step(List.of(new Work(seq, seq.pending(), true)));
                }
                alone.add(seq.logits);
                seq.release();
            }
        }
        return alone;
    }

    private static List<Sequence> together(ModelRuntime runtime, List<int[]> prompts, Random random) {
        PagedRunner runner = new PagedRunner(runtime, random.nextLong());
        List<Sequence> all = prompts.stream().map(runner::sequence).toList();
        boolean more = true;
        while (more) {
            more = false;
            List<Work> work = new ArrayList<>();
            for (int i = 0; i < all.size(); i++) {
                Sequence seq = all.get(i);
                if (seq.ids.size() < prompts.get(i).length + TOKENS) {
                    more = true;
                    if (random.nextInt(4) > 0) {
                        int rows = random.nextBoolean() ? seq.pending() : 1 + random.nextInt(seq.pending());
                        work.add(new Work(seq, rows, true));
                    }
                }
            }
            if (!work.isEmpty()) {
                runner.step(work);
            }
        }
        return all;
    }

    private static void assertSameBits(List<float[]> actual, List<float[]> expected, String what) {
        assertThat(actual).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < actual.size(); i++) {
            assertThat(actual.get(i)).as("%s, position %d", what, i).isEqualTo(expected.get(i));
        }
    }
}
