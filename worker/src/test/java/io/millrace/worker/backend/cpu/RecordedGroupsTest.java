package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.cpu.RecordingKernels.Call;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Weights in groups of columns, as the C ABI is given them. */
class RecordedGroupsTest {

    @BeforeEach
    @AfterEach
    void forget() {
        RecordingKernels.reset();
    }

    private static void load(QuantGolden golden) {
        CpuModels.load(
                        golden.folder(),
                        (decoder, source) -> CudaBackend.load(
                                RecordingKernels.library(),
                                decoder,
                                source,
                                GoldenModels.blocks(16, 64),
                                2,
                                CpuSettings.DEFAULT,
                                EmulatedCuda.LIMITS,
                                LoadProgress.NONE))
                .close();
    }

    @ParameterizedTest
    @CsvSource({
        "gptq-4bit-g32-desc-act, MR_INT4, true, true, false",
        "gptq-8bit-channel, MR_INT8, true, false, false",
        "bnb-fp4, MR_CODEBOOK, false, false, true",
        "fp8-block, MR_FP8, false, false, false"
    })
    void codesFactorsOrderAndLevelsOfEveryRowAreHandedOver(
            String name, String type, boolean zeros, boolean ordered, boolean levels) throws Exception {
        QuantGolden golden = QuantGolden.of(name);
        load(golden);
        long number = Objects.requireNonNull(AbiHeader.read().constants().get(type));
        assertThat(RecordingKernels.calls("mr_bind_groups")).isNotEmpty().allSatisfy(call -> {
            assertThat(call.number("type")).isEqualTo(number);
            assertThat(call.has("zeros")).isEqualTo(zeros);
            assertThat(call.has("levels")).isEqualTo(levels);
        });
        assertThat(RecordingKernels.calls("mr_bind_groups").stream().anyMatch(call -> call.has("order")))
                .isEqualTo(ordered);
        try (WeightSource source = QuantizedSource.open(golden.folder(), golden.config())) {
            Decoder decoder = Decoder.of(DecoderConfig.fromJson("config.json", golden.config()), source);
            for (Call call : RecordingKernels.calls("mr_bind_groups")) {
                String tensor =
                        decoder.program().tensor((int) call.number("tensor")).name();
                check(
                        call,
                        Decoder.stored(
                                source, Objects.requireNonNull(decoder.slots().get(tensor))));
            }
        }
    }

    private static void check(Call call, WeightTensor tensor) {
        GroupedWeight weight = GroupedWeight.of(tensor, NativeDevice.CUDA).orElseThrow();
        int rows = Math.toIntExact(call.number("rows"));
        assertThat(call.number("columns")).isEqualTo(weight.columns());
        assertThat(call.number("group_columns")).isEqualTo(weight.groupColumns());
        byte[] codes = new byte[rows * weight.columns()];
        float[] scales = new float[rows * weight.groups()];
        byte[] zeros = new byte[rows * weight.groups()];
        weight.reader().rows(0, rows, codes, scales, zeros);
        assertThat(call.number("codes")).isEqualTo(sum(codes));
        double sum = 0;
        for (float scale : scales) {
            sum += scale;
        }
        assertThat(Double.parseDouble(call.text("scales"))).isCloseTo(sum, within(1e-6));
        if (call.has("zeros")) {
            assertThat(call.number("zeros")).isEqualTo(sum(zeros));
        }
        assertThat(call.has("order") ? call.ints("order") : null).isEqualTo(weight.order());
        assertThat(call.has("levels")).isEqualTo(weight.levels() != null);
    }

    private static long sum(byte[] values) {
        long sum = 0;
        for (byte value : values) {
            sum += value & 0xFF;
        }
        return sum;
    }

    @Test
    void oneThatCannotBeBoundEndsTheLoadingAndLeavesNoModel() {
        RecordingKernels.fail("mr_bind_groups", 2, RecordingKernels.MEMORY);
        assertThatThrownBy(() -> load(QuantGolden.of("fp8-block")))
                .hasMessageContaining("told to fail in mr_bind_groups")
                .extracting(e -> ((MillraceException) e).code())
                .isEqualTo("MR-MEM-001");
        assertThat(RecordingKernels.calls()).last().extracting(Call::function).isEqualTo("mr_free");
        assertThat(RecordingKernels.models()).isZero();
    }
}
