package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CpuRuntimeTest {

    private static ModelRuntime load(KvOptions options) {
        return CpuModels.load(Golden.path("gguf/tiny-llama-mixed.gguf"), options, 2, CpuSettings.DEFAULT);
    }

    @Test
    void aCopiedBlockContinuesAsTheOriginal() {
        try (ModelRuntime runtime = load(GoldenModels.blocks(16, 256))) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence original = runner.sequence(new Random(5).ints(27, 0, 300).toArray());
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
            assertThat(runtime.steps()).isEqualTo(22);
            assertThat(runtime.numericsId()).startsWith("cpu-");
        }
    }

    @Test
    void whatWasSwappedOutContinuesInOtherBlocks() {
        KvOptions options = GoldenModels.blocks(16, 256);
        try (ModelRuntime runtime = load(options.withHostBytes(8 << 20))) {
            assertThat(runtime.kvLayout().hostBlocks()).isPositive();
            assertThat(runtime.swapSeconds()).isPositive();
            PagedRunner runner = new PagedRunner(runtime, 1);
            int[] prompt = new Random(5).ints(27, 0, 300).toArray();
            Sequence calm = runner.sequence(prompt);
            Sequence moved = runner.sequence(prompt);
            runner.step(List.of(new Work(calm, 27, false), new Work(moved, 27, false)));
            Sequence thief = runner.sequence(new Random(6).ints(32, 0, 300).toArray());
            Sequence spare = runner.sequence(new Random(7).ints(32, 0, 300).toArray());
            runner.step(List.of(new Work(spare, 32, false)));
            int[] host = {runtime.kvLayout().hostBlocks() - 1, 3};
            runtime.swapOut(0, moved.blocks.stream().mapToInt(i -> i).toArray(), host);
            thief.blocks.addAll(moved.blocks);
            runner.step(List.of(new Work(thief, 32, false)));
            moved.blocks.clear();
            moved.blocks.addAll(List.of(spare.blocks.get(1), spare.blocks.get(0)));
            runtime.swapIn(0, host, new int[] {moved.blocks.get(0), moved.blocks.get(1)});
            for (int i = 0; i < 5; i++) {
                runner.step(List.of(new Work(calm, 1, false)));
                runner.step(List.of(new Work(moved, 1, false)));
            }
            assertThat(moved.from(27)).isEqualTo(calm.from(27));
            assertThatThrownBy(() -> runtime.swapOut(0, new int[] {0}, new int[] {host[0] + 1}))
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-CPU-003"))
                    .hasMessageContaining("host block " + (host[0] + 1) + " is to be swapped to");
        }
    }

    @Test
    void weightsThatAreNoNumbersAreRefused(@TempDir Path folder) throws IOException {
        CpuModels.library();
        for (String name : List.of("blk.1.ffn_norm.weight", "blk.0.ffn_down.weight", "token_embd.weight")) {
            Path damaged = folder.resolve(name + ".gguf");
            byte[] bytes = Files.readAllBytes(Golden.path("gguf/tiny-llama-f16.gguf"));
            try (GgufFile file = GgufFile.open(Golden.path("gguf/tiny-llama-f16.gguf"))) {
                WeightTensor tensor = file.tensor(name);
                byte[] own = tensor.data().toArray(ValueLayout.JAVA_BYTE);
                int at = indexOf(bytes, own);
                int last = at + own.length - Float.BYTES;
                // NaN as two halves and as a float.
                bytes[last + 1] = bytes[last + 3] = 0x7F;
                bytes[last + 2] = (byte) 0xC0;
            }
            Files.write(damaged, bytes);
            assertThatThrownBy(() -> CpuModels.load(damaged, GoldenModels.blocks(16, 64), 1, CpuSettings.DEFAULT)
                            .close())
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-WEIGHTS-006"))
                    .hasMessageContaining(name);
        }
    }

    private static int indexOf(byte[] all, byte[] part) {
        for (int at = all.length - part.length; at >= 0; at--) {
            if (Arrays.equals(all, at, at + part.length, part, 0, part.length)) {
                return at;
            }
        }
        throw new AssertionError("not there");
    }

    /** The process would end where the kernels read a page that is no longer there. */
    @Test
    void aFileCutShortWhileItIsLoadedIsACodedError(@TempDir Path folder) throws IOException {
        Path path = folder.resolve("short.gguf");
        Files.copy(Golden.path("gguf/tiny-llama-mixed.gguf"), path);
        CpuModels.library();
        try (GgufFile source = GgufFile.open(path)) {
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf(path.toString(), source.metadata()), source);
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
                channel.truncate(channel.size() / 2);
            }
            assertThatThrownBy(() -> CpuBackend.load(
                                    CpuModels.library(),
                                    decoder,
                                    source,
                                    GoldenModels.blocks(16, 64),
                                    1,
                                    CpuSettings.DEFAULT,
                                    LoadProgress.NONE)
                            .close())
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-WEIGHTS-002"));
        }
    }

    @Test
    void aStepThatCannotBeIsRefusedAndTheNextOneRuns() {
        try (ModelRuntime runtime = load(GoldenModels.blocks(16, 64))) {
            assertThatThrownBy(() -> runtime.run(step(100_000, 0)))
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-CPU-003"))
                    .hasMessageContaining("100000");
            assertThatThrownBy(() -> runtime.run(step(-1, 0))).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> runtime.run(step(5, 99))).hasMessageContaining("block 0 of sequence 0 is 99");
            StepOutputs out = runtime.run(step(5, 0));
            assertThat(out.logits()).isNotNull();
        }
    }

    private static StepInputs step(int token, int block) {
        return new StepInputs(
                new int[] {token},
                new int[] {0},
                new int[][] {{0}},
                new int[] {0, 1},
                new int[] {1},
                new int[][][] {{{block}}},
                new int[] {0},
                new io.millrace.worker.sampling.SamplingRow[] {null},
                new int[1]);
    }

    @Test
    void aNarrowCacheHoldsMoreBlocksInTheSameBudget() {
        int whole = blocksOf(KvType.F32);
        assertThat(blocksOf(KvType.F16)).isEqualTo(2 * whole);
        assertThat(blocksOf(KvType.BF16)).isEqualTo(2 * whole);
        assertThat(blocksOf(KvType.INT8)).isGreaterThan(3 * whole);
        assertThatThrownBy(() -> KvType.of("fp4")).hasMessageContaining("f32, f16, bf16, int8, fp8");
        assertThatThrownBy(() -> blocksOf(KvType.FP8))
                .hasMessageContaining("fp8")
                .hasMessageContaining("--engine cuda");
    }

    private static int blocksOf(KvType type) {
        try (ModelRuntime runtime = load(new KvOptions(16, 0, 8 << 20, 0, type))) {
            KvLayout.Group group = runtime.kvLayout().groups().getFirst();
            assertThat(group.dtype()).isEqualTo(type.label());
            long planned = group.blocks() * MemoryPlan.blockBytes(group, 16);
            assertThat(((CpuRuntime) runtime).cacheBytes()).isBetween(planned, planned + (2L << 20));
            return group.blocks();
        }
    }

    @Test
    void sizesThatAreNotPossibleAreRefusedWithTheNumbers() {
        CpuModels.library();
        assertRefused(new KvOptions(16, 0, 100_000, 0), "MR-MEM-001", "KV cache needs 1 MiB");
        assertRefused(new KvOptions(8, 10, 0, 0), "MR-CONFIG-001", "8 tokens");
        assertRefused(GoldenModels.blocks(16, 256).withHostBytes(1L << 42), "MR-MEM-001", "swapped blocks 4,194,304");
    }

    private static void assertRefused(KvOptions options, String code, String part) {
        assertThatThrownBy(() -> load(options))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContaining(part);
    }

    @Test
    void aSettingThatNamesNoInstructionSetIsTheUsersErrorAndSaysWhichThereAre() throws Throwable {
        Path library = CpuModels.library();
        try {
            environment("MILLRACE_ISA", "avx1024");
            for (ThrowingCallable use : List.<ThrowingCallable>of(
                    () -> load(GoldenModels.blocks(16, 64)).close(),
                    () -> KernelLibrary.isFast(library),
                    () -> KernelLibrary.describe(library))) {
                assertThatThrownBy(use)
                        .isInstanceOfSatisfying(
                                MillraceException.class,
                                e -> assertThat(e.code()).isEqualTo("MR-CPU-005"))
                        .hasMessageContaining("MILLRACE_ISA is 'avx1024'; use auto, portable, avx2 or avx512");
            }
            environment("MILLRACE_ISA", "portable");
            assertThat(KernelLibrary.describe(library)).isEqualTo("portable");
            try (ModelRuntime runtime = load(GoldenModels.blocks(16, 64))) {
                assertThat(runtime.numericsId()).contains("portable");
            }
        } finally {
            environment("MILLRACE_ISA", "auto");
        }
    }

    /** Of this process, as native code reads it. */
    private static void environment(String name, String value) throws Throwable {
        Linker linker = Linker.nativeLinker();
        MethodHandle set = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("setenv"),
                FunctionDescriptor.of(
                        ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
        try (Arena arena = Arena.ofConfined()) {
            assertThat((int) set.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1))
                    .isZero();
        }
    }

    @Test
    void aLibraryThatIsNoneIsRefusedWithItsName(@TempDir Path folder) throws IOException {
        Path wrong = Files.writeString(folder.resolve("library.so"), "no library");
        assertThatThrownBy(() -> NativeKernels.open(wrong))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-CPU-001"))
                .hasMessageContaining("library.so");
        assertThat(KernelLibrary.find(Map.of("MILLRACE_KERNELS", wrong.toString()), folder))
                .contains(wrong);
        assertThatThrownBy(() -> KernelLibrary.find(Map.of("MILLRACE_KERNELS", "/nowhere/x.so"), folder))
                .hasMessageContaining("/nowhere/x.so");
        assertThat(KernelLibrary.find(Map.of(), folder)).isEmpty();
    }
}
