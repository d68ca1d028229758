package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.CpuBackend;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.TestModels;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** The whole engine on the native kernels: what a request gets depends on the request alone. */
class CpuEngineTest {

    private static final SamplingParams WARM = new SamplingParams(0.9f, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), 2);
    private static final SamplingParams TOP_P = new SamplingParams(0.9f, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), -1);
    private static final int REQUESTS = 6;
    private static final int TOKENS = 12;

    /** A loaded model and its tokenizer. */
    private record Model(ModelRuntime runtime, Tokenizer tokenizer) {}

    private static Path library() {
        Optional<Path> library = KernelLibrary.find();
        Assumptions.assumeTrue(library.isPresent(), "SKIPPED, the native kernels are not built");
        return library.orElseThrow();
    }

    private static Model load(Path path, int blocks, int threads, CpuSettings settings, KvType type) {
        return load(path, new KvOptions(16, blocks, 0, 0, type), threads, settings);
    }

    private static Model load(Path path, KvOptions kv, int threads, CpuSettings settings) {
        try (GgufFile file = GgufFile.open(path)) {
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf(path.toString(), file.metadata()), file);
            ModelRuntime runtime = CpuBackend.load(library(), decoder, file, kv, threads, settings, LoadProgress.NONE);
            return new Model(runtime, GgufTokenizers.create("tiny", file.metadata()));
        }
    }

    /** Null where this processor has not got it. */
    private static @Nullable Model tiny(int isa, int blocks, int threads, KvType type) {
        CpuSettings settings = new CpuSettings(isa, CpuSettings.Precision.NATIVE, false, null, 0);
        try {
            return load(Golden.path("gguf/tiny-llama-mixed.gguf"), blocks, threads, settings, type);
        } catch (MillraceException e) {
            assertThat(e.code()).isEqualTo("MR-CPU-002");
            return null;
        }
    }

    @Test
    void answersDoNotDependOnCompanyChunksPagesThreadsOrTheCacheOnAnyInstructionSet() throws Exception {
        for (int isa = 1; isa <= 3; isa++) {
            for (KvType type : isa == 3 ? EnumSet.complementOf(EnumSet.of(KvType.FP8)) : EnumSet.of(KvType.F32)) {
                Model alone = tiny(isa, 64, 1, type);
                if (alone == null) {
                    continue;
                }
                List<String> expected = new ArrayList<>();
                try (TestEngine e = engine(alone, 512)) {
                    for (int i = 0; i < REQUESTS; i++) {
                        expected.add(bits(e.run(request(i, "alone" + i))));
                    }
                }
                assertThat(expected).doesNotHaveDuplicates();
                check(isa, type, 64, 2, 512, expected);
                check(isa, type, 14, 3, 7, expected);
            }
        }
    }

    /** All at once, twice: the second time their prompts are in the prefix cache. */
    private static void check(int isa, KvType type, int blocks, int threads, int budget, List<String> expected)
            throws Exception {
        Model model = tiny(isa, blocks, threads, type);
        if (model == null) {
            throw new AssertionError("instruction set " + isa + " is gone");
        }
        try (TestEngine e = engine(model, budget)) {
            for (int round = 0; round < 2; round++) {
                List<Recorder> all = new ArrayList<>();
                for (int i = 0; i < REQUESTS; i++) {
                    all.add(e.submit(request(i, "shared")));
                }
                for (int i = 0; i < REQUESTS; i++) {
                    assertThat(bits(all.get(i).await()))
                            .as(
                                    "%s, %d blocks, %d threads, request %d",
                                    model.runtime().numericsId(), blocks, threads, i)
                            .isEqualTo(expected.get(i));
                }
            }
            assertThat(e.engine.load().prefixHits() > 0 || blocks < 20).isTrue();
        }
    }

    @Test
    void aCacheTooSmallSwapsToTheHostAndTheTextIsThatOfAnUndisturbedRun() throws Exception {
        Path path = Golden.path("gguf/tiny-llama-mixed.gguf");
        for (KvType type : List.of(KvType.F32, KvType.INT8)) {
            List<String> expected = new ArrayList<>();
            try (TestEngine e = engine(load(path, 64, 1, CpuSettings.DEFAULT, type), 512)) {
                for (int i = 0; i < 4; i++) {
                    expected.add(bits(e.run(longer(i, "alone"))));
                }
                assertThat(e.engine.load().host().blocks()).isZero();
            }
            KvOptions small = new KvOptions(16, 10, 0, 0, type).withHostBytes(4 << 20);
            try (TestEngine e = engine(load(path, small, 2, CpuSettings.DEFAULT), 64)) {
                List<Recorder> all = new ArrayList<>();
                for (int i = 0; i < 4; i++) {
                    all.add(e.submit(longer(i, "together")));
                }
                for (int i = 0; i < 4; i++) {
                    assertThat(bits(all.get(i).await())).isEqualTo(expected.get(i));
                }
                EngineLoad load = e.engine.load();
                assertThat(load.preemptions()).isPositive();
                assertThat(load.host().swappedOut()).isPositive();
                assertThat(load.host().swappedIn()).isPositive();
            }
        }
    }

    /** Of one block at first, and of four in the end. */
    private static Requests longer(int i, String salt) {
        return Requests.of(salt + i, new Random(i).ints(14, 3, 290).toArray())
                .maxTokens(50)
                .sampling(WARM, 90 + i)
                .salt(salt + i);
    }

    @Test
    void sixteenSeededStreamsGetWhatEachGetsAloneAndTheHostsShareIsSaid() throws Exception {
        int threads = Runtime.getRuntime().availableProcessors();
        Path path = TestModels.smollm2();
        long begun = System.nanoTime();
        Model model = load(path, 256, threads, CpuSettings.DEFAULT, KvType.F32);
        long loaded = System.nanoTime();
        try (TestEngine e = engine(model, 512)) {
            e.run(Requests.of("first", new int[] {1, 2, 3}).maxTokens(1));
            System.out.printf(
                    "SmolLM2: weights and tokenizer %.0f ms, first token %.0f ms%n",
                    (loaded - begun) / 1e6, (System.nanoTime() - begun) / 1e6);
            // The first round is for the JIT.
            List<Recorder> all = List.of();
            int first = 0;
            for (String round : List.of("warm", "together")) {
                e.awaitIdle();
                first = e.steps.size();
                all = IntStream.range(0, 16)
                        .mapToObj(i -> e.submit(stream(i, round)))
                        .toList();
                all.forEach(Recorder::await);
            }
            e.awaitIdle();
            int counted = 0;
            long host = 0;
            long whole = 0;
            for (int i = first + 1; i < e.steps.size(); i++) {
                StepReport step = e.steps.get(i - 1);
                if (step.decodeRows() == 16) {
                    long own = e.steps.get(i).hostBefore().totalNanos();
                    counted++;
                    host += own;
                    // Sampling is in both.
                    whole += step.planNanos() + step.durationNanos();
                }
            }
            System.out.printf(
                    "SmolLM2, 16 streams with top-p on %d threads: the host's own work is %.1f %% of a step of %.1f ms%n",
                    threads, 100.0 * host / whole, whole / 1e6 / counted);
            for (int i : new int[] {0, 7, 15}) {
                assertThat(bits(all.get(i))).isEqualTo(bits(e.run(stream(i, "alone"))));
            }
        }
    }

    private static Requests stream(int i, String salt) {
        return Requests.of(
                        salt + i,
                        IntStream.range(0, 20).map(k -> 100 + 7 * k + i).toArray())
                .maxTokens(48)
                .sampling(TOP_P, i)
                .salt(salt + i);
    }

    private static Requests request(int i, String salt) {
        int[] common = new Random(5).ints(33, 3, 290).toArray();
        int[] own = new Random(i).ints(2 + 9 * i, 3, 290).toArray();
        int[] prompt = Arrays.copyOf(common, common.length + own.length);
        System.arraycopy(own, 0, prompt, common.length, own.length);
        return Requests.of(salt + i, prompt)
                .maxTokens(TOKENS)
                .sampling(WARM, 70 + i)
                .salt(salt);
    }

    private static String bits(Recorder recorder) {
        StringBuilder bits = new StringBuilder(recorder.text(0));
        recorder.tokens(0)
                .forEach(t -> bits.append(' ').append(t.id()).append(':').append(Float.floatToRawIntBits(t.logprob())));
        return bits.toString();
    }

    private static TestEngine engine(Model model, int budget) {
        EngineConfig config = EngineConfig.of("cpu", 160).withMaxBatchedTokens(budget);
        return new TestEngine(config, model.runtime(), model.tokenizer(), in -> {});
    }
}
