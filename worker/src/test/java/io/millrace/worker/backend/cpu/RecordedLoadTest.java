package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.RecordingKernels.Call;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.program.TensorInfo;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How a model is loaded through the C ABI, and what becomes of it where a call fails: each that was made is freed. */
class RecordedLoadTest {

    private static final String MODEL = "gguf/tiny-llama-f16.gguf";
    private static final long MIB = 1 << 20;

    @BeforeEach
    @AfterEach
    void forget() {
        RecordingKernels.reset();
    }

    private static List<String> functions() {
        return RecordingKernels.calls().stream().map(Call::function).toList();
    }

    @Test
    void aModelIsPlannedMadeBoundAndReservedInThisOrder() {
        Decoder decoder = CpuModels.decoder(Golden.path(MODEL));
        RecordingKernels.load(MODEL, 24).close();

        List<String> once = new ArrayList<>(functions());
        int binds = (int) once.stream().filter("mr_bind"::equals).count();
        assertThat(once.stream().distinct())
                .containsExactly(
                        "mr_abi_version",
                        "mr_device",
                        "mr_memory",
                        "mr_create",
                        "mr_rope",
                        "mr_bind",
                        "mr_reserve",
                        "mr_free");
        assertThat(once).hasSize(7 + binds);

        List<Integer> weights = new ArrayList<>();
        for (int handle = 0; handle < decoder.program().tensors().size(); handle++) {
            TensorInfo info = decoder.program().tensor(handle);
            if (info.role() == TensorInfo.Role.WEIGHT) {
                weights.add(handle);
            }
        }
        List<Call> bound = RecordingKernels.calls("mr_bind");
        assertThat(bound.stream().map(c -> (int) c.number("tensor"))).containsExactlyElementsOf(weights);
        for (Call call : bound) {
            List<Integer> sizes =
                    decoder.program().tensor((int) call.number("tensor")).shape();
            assertThat(call.number("columns")).isEqualTo((long) sizes.getLast());
            assertThat(call.number("rows")).isEqualTo(sizes.size() < 2 ? 1 : (long) sizes.getFirst());
        }
        Call create = RecordingKernels.calls("mr_create").getFirst();
        assertThat(create.number("abi_version")).isEqualTo(NativeKernels.ABI_VERSION);
        assertThat(create.number("block_tokens")).isEqualTo(16);
        assertThat(create.ints("group"))
                .hasSize((int) Structs.KV_GROUP.byteSize() / Integer.BYTES)
                .startsWith(24, decoder.config().layers());
        assertThat(RecordingKernels.calls("mr_reserve").getFirst().ints("limits"))
                .isEqualTo(RecordingKernels.calls("mr_memory").getFirst().ints("limits"))
                .containsExactly(
                        EmulatedCuda.LIMITS.rows(),
                        EmulatedCuda.LIMITS.logitRows(),
                        decoder.config().contextLength());
    }

    @Test
    void howAModelIsToBeMadeIsHandedOverWholeWhenItIsPlannedAndWhenItIsMade() {
        KvOptions options = new KvOptions(32, 24, 0, 0, KvType.INT8).withHostBytes(MIB);
        CpuSettings settings = new CpuSettings(0, CpuSettings.Precision.FP8, true, null, 96);
        KvLayout layout;
        try (ModelRuntime runtime = CpuModels.load(
                Golden.path(MODEL),
                (decoder, source) -> CudaBackend.load(
                        RecordingKernels.library(),
                        decoder,
                        source,
                        options,
                        3,
                        settings,
                        EmulatedCuda.LIMITS,
                        LoadProgress.NONE))) {
            layout = runtime.kvLayout();
        }
        KvLayout.Group group = layout.groups().getFirst();
        assertThat(layout.hostBlocks()).isPositive();
        Call plan = RecordingKernels.calls("mr_memory").getFirst();
        Call create = RecordingKernels.calls("mr_create").getFirst();
        for (Call call : List.of(plan, create)) {
            assertThat(call.number("abi_version")).isEqualTo(NativeKernels.ABI_VERSION);
            assertThat(call.number("isa")).isZero();
            assertThat(call.number("precision")).isEqualTo(2);
            // Its threads do not compute there, and need no processor of their own.
            assertThat(call.number("pin")).isZero();
            assertThat(call.number("keep_activations")).isZero();
            assertThat(call.number("block_tokens")).isEqualTo(32);
            assertThat(call.number("groups")).isEqualTo(1);
            assertThat(call.number("library_rows")).isEqualTo(96);
            assertThat(call.ints("group"))
                    .containsExactly(
                            24,
                            group.layers(),
                            group.heads(),
                            group.keyDim(),
                            group.valueDim(),
                            NativeKernels.INT8,
                            layout.hostBlocks());
        }
        assertThat(create.number("threads")).isEqualTo(3);
        List<Integer> bound = new ArrayList<>();
        for (Call bind : RecordingKernels.calls("mr_bind")) {
            bound.addAll(List.of((int) bind.number("tensor"), (int) bind.number("type"), 0, 0));
        }
        assertThat(plan.ints("stored"))
                .containsExactly(bound.stream().mapToInt(Integer::intValue).toArray());
    }

    @ParameterizedTest
    @CsvSource({
        "mr_memory,0,2,MR-MEM-001",
        "mr_memory,0,3,MR-CUDA-002",
        "mr_memory,0,5,MR-CUDA-004",
        "mr_create,0,2,MR-MEM-001",
        "mr_create,0,3,MR-CUDA-002",
        "mr_create,0,1,MR-CUDA-003",
        "mr_create,0,5,MR-CUDA-004",
        "mr_rope,0,4,MR-CUDA-003",
        "mr_bind,0,2,MR-MEM-001",
        "mr_bind,9,2,MR-MEM-001",
        "mr_bind,3,3,MR-CUDA-002",
        "mr_bind,3,5,MR-CUDA-004",
        "mr_reserve,0,2,MR-MEM-001",
        "mr_reserve,0,5,MR-CUDA-004"
    })
    void aCallThatFailsEndsTheLoadingAndLeavesNoModel(String function, int before, int status, String code) {
        RecordingKernels.fail(function, before, status);
        assertThatThrownBy(() -> RecordingKernels.load(MODEL, 24))
                .asInstanceOf(InstanceOfAssertFactories.type(MillraceException.class))
                .satisfies(e -> {
                    assertThat(e.code()).isEqualTo(code);
                    assertThat(e.getMessage()).contains("told to fail in " + function);
                });
        List<Call> calls = RecordingKernels.calls();
        boolean made = calls.stream().anyMatch(c -> c.function().equals("mr_create") && !c.failed());
        assertThat(calls.getLast().function()).isEqualTo(made ? "mr_free" : function);
        assertThat(calls.get(calls.size() - (made ? 2 : 1)).failed()).isTrue();
        assertThat(RecordingKernels.models()).isZero();
        // What failed was one call: the next load finds everything as it should be.
        try (ModelRuntime runtime = RecordingKernels.load(MODEL, 24)) {
            assertThat(RecordingKernels.models()).isEqualTo(1);
            assertThat(runtime.overlaps()).isTrue();
        }
        assertThat(RecordingKernels.models()).isZero();
    }

    @Test
    void whatDoesNotFitIsRefusedWithItsNumbersBeforeAModelIsMade() {
        RecordingKernels.pretend(NativeKernels.ABI_VERSION, 0, 100 * MIB, 90 * MIB, 30 * MIB);
        assertThatThrownBy(() -> RecordingKernels.load(MODEL, 24))
                .hasMessageContaining("weights as the device keeps them 90")
                .hasMessageContaining("workspace 30")
                .hasMessageContaining("available are 100 MiB of the device's 1,024 MiB")
                .hasMessageContaining("Other processes")
                .hasMessageContaining("nvidia-smi")
                .asInstanceOf(InstanceOfAssertFactories.type(MillraceException.class))
                .extracting(MillraceException::code)
                .isEqualTo("MR-MEM-001");
        assertThat(functions()).containsExactly("mr_abi_version", "mr_device", "mr_memory");
    }

    /** A cache of a fifth of a MiB, whose size is asked for: of the device a sixteenth stays free, at most 512 MiB. */
    @ParameterizedTest
    @CsvSource({"1600,100", "81920,512"})
    void aPartOfTheDeviceIsKeptFreeOfWhatIsAskedForToo(long free, long kept) {
        RecordingKernels.pretend(NativeKernels.ABI_VERSION, 0, free * MIB, (free - kept - 30) * MIB, 30 * MIB);
        assertThatThrownBy(() -> RecordingKernels.load(MODEL, 24))
                .hasMessageContaining("workspace 30, kept free " + kept + "), available are ")
                .hasMessageContaining("(short by 1)")
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-MEM-001");
        RecordingKernels.pretend(NativeKernels.ABI_VERSION, 0, free * MIB, (free - kept - 31) * MIB, 30 * MIB);
        RecordingKernels.load(MODEL, 24).close();
    }

    @Test
    void howLongASwapTakesIsWhatTheLibraryHasMeasuredBothWays() {
        try (ModelRuntime runtime = RecordingKernels.load(MODEL, 24, MIB)) {
            // A block has a byte there.
            assertThat(runtime.swapSeconds()).isCloseTo(1 / 8e9 + 1 / 4e9, Offset.offset(1e-15));
        }
        try (ModelRuntime runtime = RecordingKernels.load(MODEL, 24)) {
            assertThat(runtime.swapSeconds()).isZero();
        }
    }

    @Test
    void aDeviceThatIsNotUsableIsRefusedBeforeAnythingIsAskedOfIt() {
        RecordingKernels.pretend(NativeKernels.ABI_VERSION, RecordingKernels.UNSUPPORTED, 0, 0, 0);
        assertThatThrownBy(() -> RecordingKernels.load(MODEL, 24))
                .hasMessageContaining("a recorder that is not usable")
                .hasMessageContaining("--engine cpu")
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-CUDA-002");
        assertThat(functions()).containsExactly("mr_abi_version", "mr_device");
    }

    @Test
    void anotherVersionOfTheAbiIsRefusedBeforeAnythingElseIsCalled() {
        Path library = RecordingKernels.library();
        RecordingKernels.pretend(NativeKernels.ABI_VERSION + 1, 0, MIB, 0, 0);
        assertThatThrownBy(() -> NativeKernels.open(library, NativeDevice.CUDA))
                .hasMessageContaining(library.toString())
                .hasMessageContaining("its ABI version is " + (NativeKernels.ABI_VERSION + 1))
                .hasMessageContaining("this build needs " + NativeKernels.ABI_VERSION)
                .hasMessageContaining("kernels/cuda/build.sh")
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-CUDA-001");
        assertThat(functions()).containsExactly("mr_abi_version");
        assertThatThrownBy(() -> NativeKernels.open(library, NativeDevice.CPU))
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-CPU-001");
    }

    @Test
    void aLibraryThatLacksAFunctionIsRefusedByItsName() {
        Path library = RecordingKernels.partial();
        assertThatThrownBy(() -> NativeKernels.open(library, NativeDevice.CUDA))
                .hasMessageContaining(library.toString())
                .hasMessageContaining("mr_submit")
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-CUDA-001");
    }
}
