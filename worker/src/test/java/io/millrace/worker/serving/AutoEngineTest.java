package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.hub.ModelLocator;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.LoggerFactory;

/** What {@code auto} takes, with CUDA kernels that run under their emulator in the process of the check. */
class AutoEngineTest {

    private static final Path MODEL = Golden.path("gguf/tiny-llama-f16.gguf");
    private static final ModelOptions OPTIONS = ModelOptions.DEFAULT.withKvMemoryBytes(4 << 20);
    private static final Logger LOG = (Logger) LoggerFactory.getLogger(AutoEngine.class);

    private final ListAppender<ILoggingEvent> said = new ListAppender<>();

    @BeforeEach
    void listen() {
        said.start();
        LOG.addAppender(said);
    }

    @AfterEach
    void stop() {
        LOG.detachAppender(said);
    }

    private static AutoEngine emulated(String machine, Duration limit) {
        Path library = EmulatedCuda.library();
        Assumptions.assumeTrue(KernelLibrary.find().isPresent(), "SKIPPED, the native kernels are not built");
        return new AutoEngine(
                () -> new NvidiaMachine(library, null, true, true, false),
                new GpuCheckProcess(Map.of("EMULATED_CUDA_MACHINE", machine), limit)::check);
    }

    private boolean takes(AutoEngine auto, ModelOptions options) {
        try (OpenModel files = OpenModel.open(MODEL, "auto")) {
            return auto.takes((ModelFiles) files, options);
        }
    }

    private String line(Level level) {
        assertThat(said.list)
                .singleElement()
                .satisfies(event -> assertThat(event.getLevel()).isEqualTo(level));
        return said.list.getFirst().getFormattedMessage();
    }

    @Test
    void aGpuThatPassesIsTakenAndNamed() {
        assertThat(takes(emulated("", Duration.ofMinutes(2)), OPTIONS)).isTrue();
        assertThat(line(Level.INFO))
                .startsWith("tiny-llama-f16.gguf runs on the GPU: emulator, sm_90, driver for CUDA 13.0, ")
                .contains("MiB free; checked in ")
                .contains("the same bits by itself and in a batch");
    }

    /** An old driver; an old chip; too little memory, and memory that fails all the same; kernels that fault, that compute wrong numbers, that compute others each time. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "driver=12040 | MR-CUDA-002 | the NVIDIA driver is for CUDA 12.4, 13.0 is needed | ends with this error instead",
                "major=7 | MR-CUDA-002 | older than sm_80 (Ampere) | ends with this error instead",
                "free_bytes=1000000 | MR-MEM-001 | available are 1 MiB of the device's 4,096 MiB (short by | ends with this error instead",
                "allocations=9 | MR-MEM-001 | MiB of the device, of 4096 MiB 40 | ends with this error instead",
                "fault | MR-CUDA-005 | The CUDA kernels lost their device | runs it on the GPU all the same",
                "swapped_columns | MR-CUDA-005 | relative to their deviation (at most 0.060) | runs it on the GPU all the same",
                "unsteady | MR-CUDA-005 | other bits to a sequence in a batch than by itself | runs it on the GPU all the same"
            })
    void whatIsWrongWithAGpuIsSaidAndTheProcessorServes(String machine, String code, String what, String asked) {
        assertThat(takes(emulated(machine, Duration.ofMinutes(2)), OPTIONS)).isFalse();
        assertThat(line(Level.WARN))
                .startsWith("tiny-llama-f16.gguf does not run on the GPU")
                .contains("[" + code + "] ", what, "It runs on the ", " engine instead; --engine cuda " + asked);
    }

    /** Room for one block beside weights, workspace and what is kept free. */
    @Test
    void aGpuWithRoomForAShortContextAloneIsNotTaken() {
        ModelOptions nothingAsked = OPTIONS.withKvMemoryBytes(0);
        long bytes;
        try (OpenModel opened = OpenModel.open(MODEL, "auto")) {
            ModelFiles files = (ModelFiles) opened;
            MemoryNeed least = CudaBackend.need(
                    EmulatedCuda.library(),
                    files.decoder(),
                    files.source(),
                    new KvOptions(KvBudget.BLOCK_TOKENS, 1, 0, 0, nothingAsked.kvType()),
                    nothingAsked.cpu(),
                    Engines.limits(nothingAsked));
            long taken = least.totalBytes() - least.keptBytes();
            bytes = taken * 16 / 15 + taken / 20;
        }
        AutoEngine auto = emulated("free_bytes=" + bytes, Duration.ofMinutes(2));
        assertThat(takes(auto, nothingAsked)).isFalse();
        assertThat(line(Level.WARN))
                .contains(
                        "[MR-MEM-001] The GPU has room for a context of only 32 tokens (1 MiB, at 512 bytes",
                        "say with --max-model-len that less is enough",
                        "engine instead; --engine cuda runs it on the GPU all the same");
    }

    @Test
    void aContextThatIsAskedForOrLongEnoughIsWorthTheGpu() {
        try (OpenModel opened = OpenModel.open(MODEL, "auto")) {
            DecoderConfig config = ((ModelFiles) opened).decoder().config();
            ModelOptions none = OPTIONS.withKvMemoryBytes(0).withKvHostBytes(0);
            long perToken = KvBudget.of(config, none, () -> 1L << 30).bytesPerToken();
            int least = Math.min(config.contextLength(), 4096);
            KvBudget enough = KvBudget.of(config, none, () -> (least + 15) * perToken);
            KvBudget less = KvBudget.of(config, none, () -> (least - 16) * perToken);
            assertThatCode(() -> enough.checkWorth(config, none)).doesNotThrowAnyException();
            assertThatCode(() -> less.checkWorth(config, none.withMaxModelLen(32)))
                    .doesNotThrowAnyException();
            assertThatCode(() -> less.checkWorth(config, none.withKvMemoryBytes(1)))
                    .doesNotThrowAnyException();
            assertThatThrownBy(() -> less.checkWorth(config, none)).hasMessageContaining(least + " are wanted");
        }
    }

    @Test
    void aKernelThatNeverEndsIsWaitedForNoLongerThanTheLimit() {
        assertThat(takes(emulated("hangs", Duration.ofSeconds(2)), OPTIONS)).isFalse();
        assertThat(line(Level.WARN)).contains("[MR-CUDA-005] ", "it did not end within 2 s");
    }

    @Test
    void whereNothingOfNvidiaIsNothingIsSaid() {
        assertThat(takes(machine(null, false, false, false), OPTIONS)).isFalse();
        assertThat(said.list).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "true | false | true | false | no NVIDIA driver (libcuda.so.1) here (MR-CUDA-002)",
                "true | false | false | false | no NVIDIA device here (MR-CUDA-002)",
                "true | true | true | true | CUDA_VISIBLE_DEVICES hides all devices",
                "false | false | true | false | the CUDA kernels are not built (MR-CUDA-001"
            })
    void whereTheGpuCannotBeAskedALineSaysSo(
            boolean built, boolean driver, boolean device, boolean hidden, String why) {
        AutoEngine auto = machine(built ? Path.of("libmillrace_cuda.so") : null, driver, device, hidden);
        assertThat(takes(auto, OPTIONS)).isFalse();
        assertThat(line(Level.INFO)).startsWith("No GPU: " + why).contains("tiny-llama-f16.gguf runs on the ");
    }

    private static AutoEngine machine(@Nullable Path library, boolean driver, boolean device, boolean hidden) {
        return new AutoEngine(
                () -> new NvidiaMachine(library, null, driver, device, hidden), (cuda, cpu, model, options) -> {
                    throw new AssertionError("nothing is there to be checked");
                });
    }

    @Test
    void aLibraryThatIsNoneIsSaid() {
        MillraceException none =
                new MillraceException("MR-CUDA-001", "MILLRACE_CUDA_KERNELS names x, which is no file");
        AutoEngine auto = new AutoEngine(() -> new NvidiaMachine(null, none, false, true, false), (a, b, c, d) -> {
            throw new AssertionError();
        });
        assertThat(takes(auto, OPTIONS)).isFalse();
        assertThat(line(Level.WARN)).contains("[MR-CUDA-001] MILLRACE_CUDA_KERNELS names x");
    }

    /** As when another process takes the memory after the check: here there is no driver, or no library, when it comes to loading. */
    @Test
    void aLoadThatFailsOnTheGpuIsMadeOnTheProcessor() {
        NvidiaMachine here = NvidiaMachine.look();
        Assumptions.assumeFalse(here.library() != null && here.driver(), "SKIPPED, here is a GPU");
        AutoEngine auto = new AutoEngine(
                () -> new NvidiaMachine(Path.of("libmillrace_cuda.so"), null, true, true, false),
                (cuda, cpu, model, options) -> new GpuAnswer("chip", "all is well", null, 1));
        ModelHost host = new ModelHost(ModelLocator.fromEnvironment(), Clock.SYSTEM, auto);
        try (ServedModel model = host.load(MODEL.toString(), OPTIONS, ModelProgress.NONE)) {
            assertThat(model.identity().numericsId()).doesNotContain("cuda");
        }
        assertThat(said.list).hasSize(2);
        assertThat(said.list.getLast().getFormattedMessage())
                .containsPattern(
                        "does not run on the GPU: \\[MR-CUDA-00[12]\\] .* It runs on the (cpu|torch) engine instead");
    }

    @Test
    void optionsComeToTheProcessAsTheyAre() {
        ModelOptions options = OPTIONS.withMaxModelLen(77)
                .withForceMaxModelLen(true)
                .withKvHostBytes(5)
                .withTask("generate")
                .withCpu(CpuSettings.of("fp8", false, "", "library:99"));
        ModelOptions read =
                GpuCheckOptions.read(GpuCheckOptions.write("m", options).toArray(String[]::new));
        assertThat(read).isEqualTo(options.withEngine("cuda").withThreads(1));
    }

    private static GpuReport report(GpuAnswer answer) {
        Path library = Path.of("libmillrace_cuda.so");
        Assumptions.assumeTrue(KernelLibrary.find().isPresent(), "SKIPPED, the native kernels are not built");
        return GpuReport.of(
                new AutoEngine(
                        () -> new NvidiaMachine(library, null, true, true, false),
                        (cuda, cpu, model, options) -> answer),
                "cpu, as told");
    }

    @Test
    void theReportNamesChipCheckAndEngine() {
        assertThat(report(new GpuAnswer("a chip", "all is well", null, 1_230)))
                .isEqualTo(new GpuReport(
                        "a chip",
                        "passed in 1.2 s: all is well",
                        "cuda, as the GPU passes its check; cpu where a model does not fit there, as told"));
        MillraceException old = new MillraceException("MR-CUDA-002", "too old");
        assertThat(report(new GpuAnswer("not usable: too old", "", old, 1)))
                .isEqualTo(new GpuReport("not usable: too old", "", "cpu, as told; not cuda: it is not usable"));
        MillraceException wrong = new MillraceException("MR-CUDA-005", "wrong numbers");
        assertThat(report(new GpuAnswer("a chip", "", wrong, 900)))
                .isEqualTo(new GpuReport(
                        "a chip",
                        "not passed after 0.9 s: [MR-CUDA-005] wrong numbers",
                        "cpu, as told; not cuda: the GPU did not pass its check"));
    }
}
