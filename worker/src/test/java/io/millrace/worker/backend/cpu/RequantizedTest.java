package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.backend.torch.TorchBackend;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.Requantizer;
import io.millrace.worker.model.TestModels;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.JsonNode;

/**
 * The default model in the types that it does not come in, multiplied with floats; the torch engine on the same weights is the
 * reference. Blocks of 256 do not fit rows of 576 values, as in published files: those rows become Q5_0, and only the down
 * projections have the type itself.
 */
class RequantizedTest {

    private static final double FLOAT_RMS = 1e-4;

    /** Of activations in int8. */
    private static final double INT8_RMS = 0.08;

    /** Of the 218 ids of one chat; SmolLm2CpuTest holds the default file to the bound of a long text. */
    private static final double INT8_PERPLEXITY = 0.03;

    /** The model's weights, rounded to another type. */
    private record Source(WeightSource file, DType type, Map<String, WeightTensor> made) implements WeightSource {

        @Override
        public Set<String> names() {
            return file.names();
        }

        @Override
        public boolean has(String name) {
            return file.has(name);
        }

        @Override
        public WeightTensor tensor(String name) {
            WeightTensor tensor = file.tensor(name);
            if (tensor.shape().length < 2 || tensor.dtype() == DType.F32) {
                return tensor;
            }
            return made.computeIfAbsent(name, key -> {
                DType to = Dequantizer.columns(tensor) % type.blockSize() == 0 ? type : DType.Q5_0;
                byte[] bytes = Requantizer.encode(to, Dequantizer.all(tensor));
                return tensor.of(to, tensor.shape(), MemorySegment.ofArray(bytes));
            });
        }

        @Override
        public long hash() {
            return file.hash() + type.ordinal();
        }

        @Override
        public void close() {}
    }

    @Tag("long")
    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"
            })
    void aTypeAgreesWithTheTorchEngine(DType type) {
        CpuModels.library();
        JsonNode cases = Golden.json("smollm2/greedy.json").get("cases");
        JsonNode longest = cases.get(cases.size() - 1);
        int[] ids = IntStream.concat(
                        IntStream.of(GoldenModels.ints(longest.get("prompt_ids"))),
                        IntStream.of(GoldenModels.ints(longest.get("greedy"))))
                .toArray();
        KvOptions kv = new KvOptions(16, 32, 0, 0);
        try (GgufFile file = GgufFile.open(TestModels.smollm2())) {
            Source source = new Source(file, type, new ConcurrentHashMap<>());
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf("smollm2", file.metadata()), source);
            List<float[]> expected;
            try (ModelRuntime torch = TorchBackend.load(decoder, source, kv, 2, LoadProgress.NONE)) {
                expected = forced(torch, ids);
            }
            try (ModelRuntime runtime =
                    CpuBackend.load(CpuModels.library(), decoder, source, kv, 2, CpuModels.F32, LoadProgress.NONE)) {
                double off = CpuModels.rms(forced(runtime, ids), expected);
                System.out.printf("SmolLM2 in %s, %s: %.6f of torch%n", type, runtime.numericsId(), off);
                assertThat(off).as("%s %s", type, runtime.numericsId()).isLessThan(FLOAT_RMS);
            }
            try (ModelRuntime runtime = CpuBackend.load(
                    CpuModels.library(), decoder, source, kv, 2, CpuSettings.DEFAULT, LoadProgress.NONE)) {
                List<float[]> logits = forced(runtime, ids);
                double off = CpuModels.rms(logits, expected);
                double perplexity = Math.exp(loss(logits, ids) - loss(expected, ids)) - 1;
                System.out.printf(
                        "SmolLM2 in %s, %s: %.4f of torch, perplexity %+.2f %%%n",
                        type, runtime.numericsId(), off, 100 * perplexity);
                assertThat(off).as("%s %s", type, runtime.numericsId()).isLessThan(INT8_RMS);
                assertThat(Math.abs(perplexity))
                        .as("perplexity of %s, %s", type, runtime.numericsId())
                        .isLessThan(INT8_PERPLEXITY);
            }
        }
    }

    /** Mean negative log probability of each id after the first. */
    private static double loss(List<float[]> logits, int[] ids) {
        double loss = 0;
        for (int i = 0; i + 1 < ids.length; i++) {
            double sum = 0;
            for (float x : logits.get(i)) {
                sum += Math.exp(x);
            }
            loss += Math.log(sum) - logits.get(i)[ids[i + 1]];
        }
        return loss / (ids.length - 1);
    }

    private static List<float[]> forced(ModelRuntime runtime, int[] ids) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        Sequence seq = runner.sequence(ids);
        runner.step(List.of(new Work(seq, ids.length, true)));
        return List.copyOf(seq.logits);
    }
}
