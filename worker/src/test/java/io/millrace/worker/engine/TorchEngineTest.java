package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.TorchBackend;
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
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import tools.jackson.databind.JsonNode;

/** A real model through the engine: SmolLM2-135M-Instruct answers its golden chats, alone, in company, and short of memory. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TorchEngineTest {

    private static final int CONTEXT = 320;
    private static final int EOS = 2;
    private static final SamplingParams WARM = new SamplingParams(0.9f, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), 2);

    private final List<JsonNode> chats = new ArrayList<>();
    private ModelRuntime runtime;
    private Tokenizer tokenizer;

    @BeforeAll
    void load() {
        Path path = TestModels.smollm2();
        try (GgufFile file = GgufFile.open(path)) {
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf(path.toString(), file.metadata()), file);
            tokenizer = GgufTokenizers.create("tiny", file.metadata());
            int threads = Runtime.getRuntime().availableProcessors();
            runtime = TorchBackend.load(decoder, file, new KvOptions(16, 256, 0, 0), threads, LoadProgress.NONE);
        }
        Golden.json("smollm2/greedy.json").get("cases").forEach(chats::add);
    }

    @AfterAll
    void close() {
        if (runtime != null) {
            runtime.close();
        }
    }

    @Test
    void chatsRunTogetherGiveTheGoldenIdsAndText() throws Exception {
        try (TestEngine e = engine(256, 512)) {
            List<Recorder> all = chats.stream().map(c -> e.submit(request(c))).toList();
            for (int i = 0; i < all.size(); i++) {
                isGolden(all.get(i).await(), chats.get(i));
            }
        }
    }

    @Test
    void chatsRunAloneInSmallChunksGiveTheSame() throws Exception {
        try (TestEngine e = engine(256, 24)) {
            for (JsonNode chat : chats.subList(0, 6)) {
                isGolden(e.run(request(chat)), chat);
            }
        }
    }

    @Test
    void aPoolTooSmallPreemptsAndAnswersTheSame() throws Exception {
        List<JsonNode> some = chats.subList(3, 9);
        try (TestEngine e = engine(22, 512)) {
            List<Recorder> all = some.stream().map(c -> e.submit(request(c))).toList();
            for (int i = 0; i < all.size(); i++) {
                isGolden(all.get(i).await(), some.get(i));
            }
            assertThat(e.engine.load().preemptions()).isPositive();
        }
    }

    @Test
    void choicesCopyBeforeTheyWriteAndPrefixHitsChangeNothing() throws Exception {
        int[] prompt = ints(chats.get(4).get("prompt_ids"));
        List<String> expected = new ArrayList<>();
        try (TestEngine e = engine(256, 512)) {
            Recorder together = e.run(four(prompt));
            Recorder again = e.run(four(prompt));
            assertThat(e.copiedBlocks.get()).isEqualTo(6);
            assertThat(again.cachedTokens()).isEqualTo((prompt.length - 1) / 16 * 16);
            for (int c = 0; c < 4; c++) {
                expected.add(bits(together, c));
                assertThat(bits(again, c)).isEqualTo(expected.get(c));
            }
            assertThat(expected).doesNotHaveDuplicates();
        }
        try (TestEngine e = engine(20, 16)) {
            Recorder company = e.submit(Requests.of("long", ints(chats.get(11).get("prompt_ids")))
                    .maxTokens(60)
                    .priority(1));
            Recorder squeezed = e.run(four(prompt));
            company.await();
            for (int c = 0; c < 4; c++) {
                assertThat(bits(squeezed, c)).isEqualTo(expected.get(c));
            }
        }
    }

    @Test
    void aResumedAnswerIsThatOfAnUndisturbedRun() throws Exception {
        JsonNode chat = chats.get(7);
        int[] golden = ints(chat.get("greedy"));
        try (TestEngine e = engine(256, 512)) {
            Recorder whole = e.run(request(chat));
            for (int at : new int[] {1, 13, golden.length - 1}) {
                Recorder resumed = e.run(request(chat).accepted(List.of(Arrays.copyOf(golden, at))));
                assertThat(resumed.ids(0)).isEqualTo(golden);
                assertThat(String.join("", whole.pieces(0).subList(0, at)) + resumed.text(0))
                        .isEqualTo(whole.text(0));
            }
        }
    }

    @Test
    void aBatchIsFasterThanOneAfterTheOther() throws Exception {
        int[] prompt = ints(chats.get(0).get("prompt_ids"));
        try (TestEngine e = engine(256, 512)) {
            double[] rates = new double[2];
            for (int round = 0; round < 2; round++) {
                int streams = round == 0 ? 1 : 16;
                long started = System.nanoTime();
                List<Recorder> all = new ArrayList<>();
                for (int i = 0; i < streams; i++) {
                    all.add(e.submit(Requests.of(round + "-" + i, prompt)
                            .maxTokens(32)
                            .sampling(WARM, i)
                            .salt("" + i)));
                }
                all.forEach(Recorder::await);
                rates[round] = streams * 32 / ((System.nanoTime() - started) * 1e-9);
            }
            System.out.printf(
                    "SmolLM2 on torch: %.1f tokens/s at 1 stream, %.1f at 16 (x %.2f)%n",
                    rates[0], rates[1], rates[1] / rates[0]);
        }
    }

    private static Requests four(int[] prompt) {
        return Requests.of("four", prompt).n(4).maxTokens(24).sampling(WARM, 99);
    }

    private static Requests request(JsonNode chat) {
        return Requests.of(chat.get("name").asString(), ints(chat.get("prompt_ids")))
                .maxTokens(64)
                .stopIds(EOS);
    }

    private static void isGolden(Recorder recorder, JsonNode chat) {
        int[] golden = ints(chat.get("greedy"));
        int[] got = recorder.ids(0);
        int same = Arrays.mismatch(got, golden);
        if (same >= 0) {
            assertThat(chat.get("near_ties"))
                    .as("%s differs at %d", chat.get("name"), same)
                    .anyMatch(tie -> tie.get("step").intValue() == same);
            return;
        }
        boolean eos = golden[golden.length - 1] == EOS;
        assertThat(recorder.ended(0)).isEqualTo(new Recorder.Ended(golden.length, eos ? "stop" : "length", ""));
        assertThat(recorder.text(0)).isEqualTo(chat.get("text").asString());
    }

    private static String bits(Recorder recorder, int choice) {
        StringBuilder bits = new StringBuilder(recorder.text(choice));
        recorder.tokens(choice)
                .forEach(t -> bits.append(' ').append(t.id()).append(':').append(Float.floatToRawIntBits(t.logprob())));
        return bits.toString();
    }

    private static int[] ints(JsonNode node) {
        int[] values = new int[node.size()];
        Arrays.setAll(values, i -> node.get(i).intValue());
        return values;
    }

    private TestEngine engine(int blocks, int budget) {
        EngineConfig config = EngineConfig.of("smollm2", CONTEXT).withMaxBatchedTokens(budget);
        return new TestEngine(config, fewerBlocks(blocks), tokenizer, in -> {});
    }

    /** The loaded model with a smaller pool; closing it leaves the model open. */
    private ModelRuntime fewerBlocks(int blocks) {
        KvLayout whole = runtime.kvLayout();
        List<KvLayout.Group> groups = whole.groups().stream()
                .map(g -> new KvLayout.Group(
                        blocks, g.layers(), g.heads(), g.keyDim(), g.valueDim(), g.window(), g.dtype()))
                .toList();
        KvLayout layout = new KvLayout(whole.blockTokens(), groups);
        return new ForwardingRuntime(runtime) {
            @Override
            public KvLayout kvLayout() {
                return layout;
            }

            @Override
            public void close() {}
        };
    }
}
