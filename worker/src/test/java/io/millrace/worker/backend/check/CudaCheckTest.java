package io.millrace.worker.backend.check;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The check of the GPU, with the CUDA kernels under their emulator. */
class CudaCheckTest {

    private static final CpuSettings FLOAT = CpuSettings.of("float", false, "", "invariant");

    /** Narrower than golden models. */
    private static final int NARROW = 64;

    private interface Use {
        String of(Decoder decoder, WeightSource source);
    }

    private static String check(String model, KvType type, CpuSettings settings) throws IOException {
        return check(model, type, settings, SmallConfig.WIDTH);
    }

    private static String check(String model, KvType type, CpuSettings settings, int width) throws IOException {
        Path cuda = EmulatedCuda.library();
        Path cpu = KernelLibrary.find().orElse(null);
        Assumptions.assumeTrue(cpu != null, "SKIPPED, the native kernels are not built");
        return with(
                model,
                (decoder, source) -> CudaCheck.run(cuda, cpu, SmallModel.of(decoder, source, width), type, settings));
    }

    private static String with(String model, Use use) throws IOException {
        Path path = Golden.path(model);
        if (!Files.isDirectory(path)) {
            try (GgufFile file = GgufFile.open(path)) {
                return use.of(Decoder.of(DecoderConfig.fromGguf(model, file.metadata()), file), file);
            }
        }
        String json = Files.readString(path.resolve("config.json"));
        try (WeightSource source = QuantizedSource.open(path, json)) {
            return use.of(Decoder.of(DecoderConfig.fromJson(model, json), source), source);
        }
    }

    /** Windows and caps; experts; block types of all kinds. */
    @ParameterizedTest
    @ValueSource(strings = {"models/gemma2-tiny", "models/qwen3_moe-tiny", "gguf/tiny-llama-mixed.gguf"})
    void kernelsThatComputeAsTheyShouldPass(String model) throws IOException {
        assertThat(check(model, KvType.BF16, CpuSettings.DEFAULT)).contains("the same bits by itself and in a batch");
    }

    /** Columns in an order of their own; blocks of fp8, which the CPU kernels widen. */
    @ParameterizedTest
    @ValueSource(strings = {"quant/gptq-4bit-g32-desc-act", "quant/fp8-block"})
    void cornersOfPackedWeightsAreAsGood(String model) throws IOException {
        assertThat(check(model, KvType.BF16, CpuSettings.DEFAULT, NARROW)).contains("the same bits");
    }

    @Test
    void aCornerHasTheFirstRowsAndColumnsOfTheWhole() throws IOException {
        with("quant/awq-g32", (decoder, source) -> {
            SmallModel small = SmallModel.of(decoder, source, NARROW);
            String name = "model.layers.0.mlp.down_proj.weight";
            WeightTensor corner = small.tensor(name);
            assertThat(corner.shape()).containsExactly(NARROW, NARROW);
            float[] whole = Dequantizer.all(source.tensor(name));
            float[] values = Dequantizer.all(corner);
            int columns = (int) source.tensor(name).shape()[1];
            for (int row = 0; row < NARROW; row++) {
                assertThat(Arrays.copyOfRange(values, row * NARROW, (row + 1) * NARROW))
                        .containsExactly(Arrays.copyOfRange(whole, row * columns, row * columns + NARROW));
            }
            return "";
        });
    }

    @Tag("long")
    @Test
    void everyGoldenModelPasses() throws IOException {
        for (String folder : new String[] {"models", "quant"}) {
            try (var paths = Files.list(Golden.path(folder))) {
                for (Path path : paths.filter(p -> Files.exists(p.resolve("config.json")))
                        .toList()) {
                    for (int width : new int[] {NARROW, SmallConfig.WIDTH}) {
                        assertThat(check(folder + "/" + path.getFileName(), KvType.F32, CpuSettings.DEFAULT, width))
                                .as("%s", path)
                                .contains("the same bits");
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"F32, 0.0010", "INT8, 0.12"})
    void theBoundIsThatOfCacheAndPrecision(KvType type, String bound) throws IOException {
        assertThat(check("models/llama-tiny", type, FLOAT)).contains("(at most " + bound + ")");
    }

    @Test
    void aSmallModelHasTheKindsOfTheLargeOne() throws IOException {
        with("models/gemma2-tiny", (decoder, source) -> {
            SmallModel small = SmallModel.of(decoder, source, SmallConfig.WIDTH);
            Decoder program = small.decoder();
            assertThat(program.config().headDim()).isEqualTo(decoder.config().headDim());
            assertThat(program.config().groupSize()).isEqualTo(decoder.config().groupSize());
            assertThat(program.config().layerKinds().stream()
                            .map(kind -> kind.window() > 0)
                            .distinct())
                    .hasSameElementsAs(decoder.config().layerKinds().stream()
                            .map(kind -> kind.window() > 0)
                            .distinct()
                            .toList());
            assertThat(program.program().ops().stream().map(Object::getClass).distinct())
                    .hasSameElementsAs(decoder.program().ops().stream()
                            .map(Object::getClass)
                            .distinct()
                            .toList());
            return "";
        });
    }
}
