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
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.SafetensorsEdit;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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
            long bytes;
            try (CpuRuntime runtime = (CpuRuntime) load(golden.folder(), CpuSettings.DEFAULT)) {
                bytes = runtime.weightBytes();
            }
            assertThat(bytes).isBetween(codes, codes + codes / 16 + others + (64 << 10));
            // In slabs, of 256 KiB under the emulator.
            assertThat(need.weightBytes()).isBetween(bytes, bytes + (256 << 10));
        }
    }

    /** The same values as float32 beside them: the same logits, in a quarter of the memory. */
    @Test
    void matricesOfPlainFloatsOf8BitsStayAsTheyAre(@TempDir Path folder) throws IOException {
        Path model = Golden.path(GoldenModels.Case.folder("llama").file());
        SafetensorsEdit narrow = SafetensorsEdit.of(model.resolve("model.safetensors"));
        SafetensorsEdit wide = SafetensorsEdit.of(model.resolve("model.safetensors"));
        for (Map.Entry<String, SafetensorsEdit.Stored> entry :
                Map.copyOf(narrow.tensors()).entrySet()) {
            SafetensorsEdit.Stored stored = entry.getValue();
            if (stored.shape().length < 2) {
                continue;
            }
            byte[] codes = E4m3.codes(floats(stored));
            narrow.put(entry.getKey(), "F8_E4M3", stored.shape(), codes);
            wide.put(entry.getKey(), "F32", stored.shape(), bytes(E4m3.values(codes)));
        }
        int[] ids = {1, 17, 40, 9, 77, 5};
        List<List<float[]>> logits = new ArrayList<>();
        List<Long> weights = new ArrayList<>();
        for (SafetensorsEdit edit : List.of(narrow, wide)) {
            Path copy = Files.createDirectory(folder.resolve(logits.isEmpty() ? "narrow" : "wide"));
            Files.copy(model.resolve("config.json"), copy.resolve("config.json"));
            edit.write(copy.resolve("model.safetensors"));
            try (CpuRuntime runtime = (CpuRuntime) load(copy, CpuModels.F32)) {
                PagedRunner runner = new PagedRunner(runtime, 1);
                Sequence seq = runner.sequence(ids);
                runner.step(List.of(new Work(seq, ids.length, true)));
                logits.add(List.copyOf(seq.logits.subList(0, ids.length)));
                weights.add(runtime.weightBytes());
            }
        }
        assertThat(CpuModels.rms(logits.get(0), logits.get(1))).isLessThan(1e-5);
        assertThat(weights.get(0)).isLessThan(weights.get(1) * 3 / 10);
    }

    private static float[] floats(SafetensorsEdit.Stored stored) {
        DType dtype = DType.valueOf(stored.dtype());
        return Dequantizer.all(new WeightTensor("", dtype, stored.shape(), MemorySegment.ofArray(stored.bytes())));
    }

    private static byte[] bytes(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return bytes.array();
    }

    /** Floats of 8 bits, to the nearest. */
    private static final class E4m3 {

        private static final float[] VALUES = values(all());

        private static byte[] all() {
            byte[] codes = new byte[256];
            for (int i = 0; i < codes.length; i++) {
                codes[i] = (byte) i;
            }
            return codes;
        }

        static float[] values(byte[] codes) {
            return Dequantizer.all(
                    new WeightTensor("", DType.F8_E4M3, new long[] {codes.length}, MemorySegment.ofArray(codes)));
        }

        static byte[] codes(float[] values) {
            byte[] codes = new byte[values.length];
            for (int i = 0; i < codes.length; i++) {
                int best = 0;
                for (int c = 1; c < VALUES.length; c++) {
                    if (Math.abs(VALUES[c] - values[i]) < Math.abs(VALUES[best] - values[i])) {
                        best = c;
                    }
                }
                codes[i] = (byte) best;
            }
            return codes;
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
