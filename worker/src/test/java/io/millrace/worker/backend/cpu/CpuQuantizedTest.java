package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.QuantGolden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/** Quantised checkpoints, whose codes the kernels keep: AWQ, GPTQ, bitsandbytes and compressed-tensors. */
class CpuQuantizedTest {

    private static final float TOLERANCE = 5e-3f;

    /** Of int8 activations; these models have rows of weights of one sign, which magnify what rounding does. */
    private static final double INT8_RMS = 0.2;

    static Stream<QuantGolden> folders() {
        return QuantGolden.all();
    }

    private static ModelRuntime load(QuantGolden folder, CpuSettings settings) {
        return CpuModels.load(folder.folder(), GoldenModels.blocks(16, 256), 2, settings);
    }

    @ParameterizedTest
    @MethodSource("folders")
    void withFloatActivationsIdsAndLogitsAgree(QuantGolden folder) {
        JsonNode prompts = folder.golden().get("prompts");
        float[] last = folder.floats("logits_last.f32");
        for (int isa : CpuModels.instructionSets()) {
            try (ModelRuntime runtime = load(folder, new CpuSettings(isa, CpuSettings.Precision.F32, false))) {
                PagedRunner runner = new PagedRunner(runtime, 1);
                for (int p = 0; p < prompts.size(); p++) {
                    int[] ids = GoldenModels.ints(prompts.get(p).get("ids"));
                    int[] greedy = GoldenModels.ints(prompts.get(p).get("greedy"));
                    Sequence seq = runner.sequence(ids);
                    runner.step(List.of(new Work(seq, ids.length, false)));
                    assertClose(seq.logits.getLast(), last, p);
                    while (seq.ids.size() < ids.length + greedy.length) {
                        runner.step(List.of(new Work(seq, 1, false)));
                    }
                    assertThat(seq.from(ids.length)).isEqualTo(greedy);
                    seq.release();
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("folders")
    void withInt8ActivationsLogitsStayWithinTheBound(QuantGolden folder) {
        JsonNode prompts = folder.golden().get("prompts");
        for (int isa : CpuModels.instructionSets()) {
            try (ModelRuntime exact = load(folder, CpuModels.F32);
                    ModelRuntime runtime = load(folder, new CpuSettings(isa, CpuSettings.Precision.NATIVE, false))) {
                int[] ids = GoldenModels.ints(prompts.get(2).get("ids"));
                double off = CpuModels.rms(forced(runtime, ids), forced(exact, ids));
                System.out.printf("%s %s: %.4f%n", folder.name(), runtime.numericsId(), off);
                assertThat(off).as(runtime.numericsId()).isLessThan(INT8_RMS);
            }
        }
    }

    @Test
    void bitsDoNotDependOnChunksOrThreads() {
        int[] ids = new Random(3).ints(90, 0, 190).toArray();
        for (String name : List.of("awq-g32", "gptq-4bit-g32-desc-act", "bnb-nf4")) {
            for (QuantGolden folder :
                    QuantGolden.all().filter(f -> f.name().equals(name)).toList()) {
                for (CpuSettings.Precision precision :
                        List.of(CpuSettings.Precision.NATIVE, CpuSettings.Precision.F32)) {
                    CpuSettings settings = new CpuSettings(0, precision, false);
                    try (ModelRuntime one = CpuModels.load(folder.folder(), GoldenModels.blocks(16, 256), 1, settings);
                            ModelRuntime other = load(folder, settings)) {
                        List<float[]> whole = forced(one, ids);
                        PagedRunner runner = new PagedRunner(other, 5);
                        Sequence seq = runner.sequence(ids);
                        while (seq.pending() > 0 && seq.logits.size() < ids.length) {
                            runner.step(List.of(new Work(seq, Math.min(7, ids.length - seq.logits.size()), true)));
                        }
                        for (int i = 0; i < ids.length; i++) {
                            assertThat(seq.logits.get(i))
                                    .as("%s, row %d", name, i)
                                    .isEqualTo(whole.get(i));
                        }
                    }
                }
            }
        }
    }

    /** Codes as the file has them, and five bytes for a group, which a file may keep in two; never floats. */
    @ParameterizedTest
    @MethodSource("folders")
    void codesTakeWhatTheFileHasForThem(QuantGolden folder) {
        if (folder.name().contains("fp8")) {
            return;
        }
        try (WeightSource source = QuantizedSource.open(folder.folder(), folder.config())) {
            Decoder decoder = Decoder.of(DecoderConfig.fromJson("config.json", folder.config()), source);
            CpuWeights weights = new CpuWeights(decoder, source, CpuSettings.DEFAULT, NativeDevice.CPU);
            Map<String, Long> kept = new TreeMap<>();
            for (WeightSlot slot : decoder.slots().values()) {
                GroupedWeight.of(source.tensor(slot.tensor()), NativeDevice.CPU)
                        .ifPresent(
                                grouped -> kept.put(slot.tensor(), grouped.bytes(slot.elements() / grouped.columns())));
            }
            assertThat(kept).hasSize(14);
            kept.forEach((name, bytes) -> assertThat((double) bytes)
                    .as(name)
                    .isLessThan(1.17 * source.tensor(name).storedBytes()));
            assertThat(CpuBackend.dtype(decoder, source)).isEqualTo("int8");
            try (ModelRuntime runtime = CpuBackend.load(
                    CpuModels.library(),
                    decoder,
                    source,
                    GoldenModels.blocks(16, 64),
                    1,
                    CpuSettings.DEFAULT,
                    LoadProgress.NONE)) {
                long packed = ((CpuRuntime) runtime).weightBytes();
                assertThat(packed).isBetween(weights.bytes() * 9 / 10, weights.bytes() + (64L << 10));
            }
        }
    }

    private static List<float[]> forced(ModelRuntime runtime, int[] ids) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        Sequence seq = runner.sequence(ids);
        runner.step(List.of(new Work(seq, ids.length, true)));
        List<float[]> logits = List.copyOf(seq.logits);
        seq.release();
        return logits;
    }

    static void assertClose(float[] logits, float[] expected, int row) {
        float[] wanted = Arrays.copyOfRange(expected, row * logits.length, (row + 1) * logits.length);
        float worst = 0;
        for (int i = 0; i < logits.length; i++) {
            float off = Math.abs(logits[i] - wanted[i]);
            worst = off <= worst ? worst : off;
        }
        assertThat(worst).as("row %d", row).isLessThan(TOLERANCE);
    }
}
