package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** The whole engine on the CUDA kernels under their emulator: ids are chosen on the device, and steps are planned ahead. */
class CudaEngineTest {

    private static final int REQUESTS = 4;
    private static final Path MODEL = Golden.path("gguf/tiny-llama-mixed.gguf");

    private static TestEngine engine(int blocks, int budget, boolean overlaps) {
        return engine(blocks, budget, overlaps, 0);
    }

    private static TestEngine engine(int blocks, int budget, boolean overlaps, long hostBytes) {
        Path library = EmulatedCuda.library();
        try (GgufFile file = GgufFile.open(MODEL)) {
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf(MODEL.toString(), file.metadata()), file);
            ModelRuntime runtime = CudaBackend.load(
                    library,
                    decoder,
                    file,
                    new KvOptions(16, blocks, 0, 0, KvType.BF16, hostBytes),
                    1,
                    CpuSettings.DEFAULT,
                    EmulatedCuda.LIMITS,
                    LoadProgress.NONE);
            assertThat(runtime.overlaps()).isTrue();
            return new TestEngine(
                    EngineConfig.of("cuda", 80).withMaxBatchedTokens(budget),
                    overlaps ? runtime : oneAtATime(runtime),
                    GgufTokenizers.create("tiny", file.metadata()),
                    in -> {});
        }
    }

    private static ModelRuntime oneAtATime(ModelRuntime runtime) {
        return (ModelRuntime) Proxy.newProxyInstance(
                ModelRuntime.class.getClassLoader(), new Class<?>[] {ModelRuntime.class}, (proxy, method, args) -> {
                    try {
                        return method.getName().equals("overlaps") ? false : method.invoke(runtime, args);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** Greedy; drawn; drawn with penalties and log probabilities; with two choices. */
    private static Requests request(int i, String salt) {
        int[] prompt = new Random(i).ints(5 + 7 * i, 3, 290).toArray();
        SamplingParams[] how = {
            SamplingParams.GREEDY,
            new SamplingParams(0.9f, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), -1),
            new SamplingParams(1, 40, 1, 0.01f, 1, 0.2f, 0.3f, 1.2f, Map.of(7, 2f), 3),
            new SamplingParams(1.2f, 0, 1, 0, 0.9f, 0, 0, 1, Map.of(), -1)
        };
        return Requests.of(salt + i, prompt)
                .maxTokens(7)
                .n(i == 3 ? 2 : 1)
                .sampling(how[i], 70 + i)
                .salt(salt);
    }

    private static String bits(Recorder recorder, int i) {
        StringBuilder bits = new StringBuilder();
        for (int c = 0; c < (i == 3 ? 2 : 1); c++) {
            recorder.tokens(c)
                    .forEach(t ->
                            bits.append(' ').append(t.id()).append(':').append(Float.floatToRawIntBits(t.logprob())));
        }
        return bits.toString();
    }

    @Test
    void whatIsPlannedAheadGivesTheBitsOfOneStepAtATime() throws Exception {
        List<String> expected = new ArrayList<>();
        try (TestEngine e = engine(32, 64, false)) {
            for (int i = 0; i < REQUESTS; i++) {
                expected.add(bits(e.run(request(i, "alone")), i));
            }
        }
        // With room for all; with so little that sequences are preempted, in small chunks.
        for (int blocks : new int[] {32, 6}) {
            try (TestEngine e = engine(blocks, blocks == 32 ? 64 : 9, true)) {
                List<Recorder> all = new ArrayList<>();
                for (int i = 0; i < REQUESTS; i++) {
                    all.add(e.submit(request(i, "together")));
                }
                for (int i = 0; i < REQUESTS; i++) {
                    assertThat(bits(all.get(i).await(), i))
                            .as("%d blocks, request %d", blocks, i)
                            .isEqualTo(expected.get(i));
                }
                assertThat(e.runtime.copiedRows()).isZero();
            }
        }
    }

    @Test
    void whatIsSwappedToTheHostWhileStepsAreUnderWayGivesTheSameBits() throws Exception {
        List<String> expected = new ArrayList<>();
        try (TestEngine e = engine(32, 64, true)) {
            for (int i = 0; i < 2; i++) {
                expected.add(bits(e.run(growing(i, "alone")), i));
            }
        }
        try (TestEngine e = engine(5, 64, true, 1 << 20)) {
            List<Recorder> all = List.of(e.submit(growing(0, "together")), e.submit(growing(1, "together")));
            for (int i = 0; i < 2; i++) {
                assertThat(bits(all.get(i).await(), i)).isEqualTo(expected.get(i));
            }
            assertThat(e.engine.load().host().swappedOut()).isPositive();
            assertThat(e.engine.load().host().swappedIn()).isPositive();
        }
    }

    /** Of two blocks at first, and of three in the end. */
    private static Requests growing(int i, String salt) {
        return Requests.of(salt + i, new Random(i).ints(27, 3, 290).toArray())
                .maxTokens(9)
                .sampling(new SamplingParams(0.9f, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), -1), 70 + i)
                .salt(salt + i);
    }

    @Test
    void aKernelThatFaultsHandsEverythingBackAtOnce() throws Exception {
        try (TestEngine e = engine(32, 64, true)) {
            Recorder warm = e.run(request(0, "warm"));
            assertThat(warm.ended(0).n()).isEqualTo(7);
            EmulatedCuda.faultAfter(150);
            try {
                Recorder running = e.submit(request(0, "a").maxTokens(40));
                Recorder other = e.submit(request(1, "b").maxTokens(40));
                for (Recorder r : List.of(running, other)) {
                    assertThat(r.await().failure()).containsAnyOf("MR-ENGINE-006", "MR-ENGINE-009");
                    assertThat(r.failure()).contains(ModelRuntime.DEVICE_LOST);
                    assertThat(r.retryable()).isTrue();
                }
                assertThat(e.engine.lost().get(10, TimeUnit.SECONDS).code()).isEqualTo(ModelRuntime.DEVICE_LOST);
                assertThat(e.engine.healthy()).isFalse();
                assertThat(running.ids(0)).as("what was chosen before").isNotEmpty();
            } finally {
                EmulatedCuda.faultAfter(-1);
            }
        }
    }
}
