package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.SafetensorsEdit;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Checkpoints in fp8 on the cuda engine, under its emulator: their weights stay in 8 bits. */
class CudaQuantizedTest {

    private static final int PROMPT = 1;

    private static ModelRuntime load(Path folder, CpuSettings settings) {
        Path library = EmulatedCuda.library();
        return CpuModels.load(
                folder,
                (decoder, source) -> CudaBackend.load(
                        library,
                        decoder,
                        source,
                        GoldenModels.blocks(16, 64),
                        2,
                        settings,
                        EmulatedCuda.LIMITS,
                        LoadProgress.NONE));
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp8-block", "ct-fp8-channel"})
    void idsAndLogitsAgree(String name) {
        QuantGolden golden = QuantGolden.of(name);
        JsonNode prompt = golden.golden().get("prompts").get(PROMPT);
        int[] ids = GoldenModels.ints(prompt.get("ids"));
        int[] greedy = GoldenModels.ints(prompt.get("greedy"));
        try (ModelRuntime runtime = load(golden.folder(), CpuModels.F32)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(ids);
            runner.step(List.of(new Work(seq, ids.length, false)));
            CpuQuantizedTest.assertClose(seq.logits.getLast(), golden.floats("logits_last.f32"), PROMPT);
            while (seq.ids.size() < ids.length + 4) {
                runner.step(List.of(new Work(seq, 1, false)));
            }
            assertThat(seq.from(ids.length)).startsWith(greedy[0], greedy[1], greedy[2], greedy[3]);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp8-block", "ct-fp8-channel"})
    void codesTakeOneByteEach(String name) {
        QuantGolden golden = QuantGolden.of(name);
        try (WeightSource source = QuantizedSource.open(golden.folder(), golden.config())) {
            Decoder decoder = Decoder.of(DecoderConfig.fromJson("config.json", golden.config()), source);
            long codes = 0;
            long others = 0;
            int kept = 0;
            for (WeightSlot slot : decoder.slots().values()) {
                GroupedWeight grouped = GroupedWeight.of(source.tensor(slot.tensor()), NativeDevice.CUDA)
                        .orElse(null);
                if (grouped == null) {
                    others += slot.elements() * Float.BYTES;
                } else {
                    assertThat(grouped.type()).isEqualTo(GroupedWeight.Type.FP8);
                    codes += slot.elements();
                    kept++;
                }
            }
            assertThat(kept).isEqualTo(14);
            MemoryNeed need = CudaBackend.need(
                    EmulatedCuda.library(),
                    decoder,
                    source,
                    GoldenModels.blocks(16, 64),
                    CpuSettings.DEFAULT,
                    EmulatedCuda.LIMITS);
            // And a float for each group, of at least 64 columns.
            assertThat(need.weightBytes()).isBetween(codes, codes + codes / 16 + others + (64 << 10));
        }
    }

    @Test
    void aCodeThatIsNoNumberIsNamed(@TempDir Path folder) throws IOException {
        QuantGolden golden = QuantGolden.of("ct-fp8-channel");
        String module = "model.layers.1.mlp.down_proj";
        SafetensorsEdit edit = SafetensorsEdit.of(golden.folder().resolve("model.safetensors"));
        byte[] bytes = edit.get(module + ".weight").bytes().clone();
        bytes[5] = (byte) 0xFF;
        Files.writeString(folder.resolve("config.json"), golden.config());
        edit.bytes(module + ".weight", bytes).write(folder.resolve("model.safetensors"));
        assertThatThrownBy(() -> load(folder, CpuSettings.DEFAULT).close())
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-WEIGHTS-006"))
                .hasMessageContaining(module)
                .hasMessageContaining("NaN");
    }
}
