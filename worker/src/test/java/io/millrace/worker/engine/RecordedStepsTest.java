package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.RecordingKernels;
import io.millrace.worker.backend.cpu.RecordingKernels.Call;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.TokenMask;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the engine hands to the C ABI, call for call and array for array: the library writes it down. */
class RecordedStepsTest {

    private static final int BLOCK = 16;
    private static final String MODEL = "gguf/tiny-llama-f16.gguf";

    private int vocabulary;

    @BeforeEach
    void forget() {
        RecordingKernels.reset();
    }

    private TestEngine engine(int blocks, int budget, Gate gate) {
        return engine(blocks, 0, budget, gate);
    }

    private TestEngine engine(int blocks, long hostBytes, int budget, Gate gate) {
        ModelRuntime runtime = RecordingKernels.load(MODEL, blocks, hostBytes);
        vocabulary = runtime.vocabularySize();
        RecordingKernels.reset();
        return new TestEngine(
                EngineConfig.of("recorded", 80).withMaxBatchedTokens(budget),
                runtime,
                new MockTokenizer(vocabulary),
                gate);
    }

    private static Gate open() {
        Gate gate = new Gate();
        gate.open();
        return gate;
    }

    /** The prompt, and what the library chooses after it. */
    private int[] whole(int[] prompt, int more) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + more);
        for (int i = prompt.length; i < ids.length; i++) {
            ids[i] = RecordingKernels.next(ids[i - 1], i - 1, vocabulary);
        }
        return ids;
    }

    private static List<String> order() {
        return RecordingKernels.calls().stream()
                .map(Call::function)
                .filter(f -> !f.equals("mr_free"))
                .toList();
    }

    private static int[] slots(int block, int from, int count) {
        return IntStream.range(block * BLOCK + from, block * BLOCK + from + count)
                .toArray();
    }

    @Test
    void aPrefillAndItsDecodesAreTheArraysOfTheHeader() throws Exception {
        int[] prompt = {5, 6, 7};
        try (TestEngine e = engine(8, 64, open())) {
            int[] whole = whole(prompt, 4);
            Recorder r = e.run(Requests.of("a", prompt).maxTokens(4));
            e.awaitIdle();
            assertThat(r.ids(0)).isEqualTo(Arrays.copyOfRange(whole, 3, 7));
            // The second of two is submitted before the first is collected; the last id is known to be the last.
            assertThat(order())
                    .containsExactly(
                            "mr_submit",
                            "mr_submit",
                            "mr_collect",
                            "mr_submit",
                            "mr_collect",
                            "mr_submit",
                            "mr_collect",
                            "mr_collect");
            List<Call> steps = RecordingKernels.calls("mr_submit");
            int block = steps.get(0).ints("table")[0];
            for (int i = 0; i < 4; i++) {
                Call step = steps.get(i);
                int rows = i == 0 ? 3 : 1;
                int from = i == 0 ? 0 : 2 + i;
                assertThat(step.number("flying")).isEqualTo(i == 0 ? 0 : 1);
                assertThat(step.ints("tokens")).isEqualTo(i == 0 ? prompt : new int[] {-1});
                assertThat(step.ints("positions"))
                        .isEqualTo(IntStream.range(from, from + rows).toArray());
                assertThat(step.ints("slots")).isEqualTo(slots(block, from, rows));
                assertThat(step.ints("start")).containsExactly(0, rows);
                assertThat(step.ints("context")).containsExactly(from + rows);
                assertThat(step.ints("table")[0]).isEqualTo(block);
                assertThat(step.ints("logit_row")).containsExactly(rows - 1);
                assertThat(step.number("row0.position")).isEqualTo(from + rows);
                assertThat(step.number("row0.chooses")).isEqualTo(1);
                assertThat(step.number("row0.changes")).isZero();
                assertThat(step.number("words")).isZero();
            }
        }
        assertThat(RecordingKernels.calls("mr_free")).hasSize(1);
        assertThat(RecordingKernels.models()).isZero();
    }

    @Test
    void aNewPromptJoinsADecodeWhoseIdIsNotKnown() throws Exception {
        Gate gate = new Gate();
        try (TestEngine e = engine(8, 64, gate)) {
            Recorder first = e.submit(Requests.of("a", 5, 6, 7).maxTokens(4));
            gate.awaitEntered();
            Recorder second = e.submit(Requests.of("b", 11, 12).maxTokens(2));
            gate.open();
            assertThat(first.await().ids(0)).isEqualTo(Arrays.copyOfRange(whole(new int[] {5, 6, 7}, 4), 3, 7));
            assertThat(second.await().ids(0)).isEqualTo(Arrays.copyOfRange(whole(new int[] {11, 12}, 2), 2, 4));
            e.awaitIdle();
            Call joined = RecordingKernels.calls("mr_submit").get(2);
            int width = (int) joined.number("width");
            int a = joined.ints("table")[0];
            int b = joined.ints("table")[width];
            assertThat(a).isNotEqualTo(b);
            assertThat(joined.ints("tokens")).containsExactly(-1, 11, 12);
            assertThat(joined.ints("positions")).containsExactly(4, 0, 1);
            assertThat(joined.ints("slots")).containsExactly(a * BLOCK + 4, b * BLOCK, b * BLOCK + 1);
            assertThat(joined.ints("start")).containsExactly(0, 1, 3);
            assertThat(joined.ints("context")).containsExactly(5, 2);
            assertThat(joined.ints("logit_row")).containsExactly(0, 2);
            assertThat(RecordingKernels.calls("mr_submit").get(3).ints("tokens"))
                    .containsExactly(-1, -2);
        }
    }

    @Test
    void howAnIdIsChosenIsHandedOverWhole() throws Exception {
        int[] prompt = {5, 6, 7};
        SamplingParams params =
                new SamplingParams(0.5f, 40, 0.75f, 0.25f, 0.875f, 0.125f, 0.375f, 1.5f, Map.of(7, 2f), 3);
        Integer[] allowed = IntStream.range(0, 200).boxed().toArray(Integer[]::new);
        try (TestEngine e = engine(8, 64, open())) {
            int[] whole = whole(prompt, 3);
            e.run(Requests.of("a", prompt)
                    .sampling(params, 0x1234_5678_9abc_def0L)
                    .minTokens(2)
                    .stopIds(199)
                    .allowed(vocabulary, allowed)
                    .maxTokens(3));
            e.awaitIdle();
            List<Call> steps = RecordingKernels.calls("mr_submit");
            assertThat(steps).hasSize(3);
            int[] mask = TokenMask.of(List.of(allowed), vocabulary).words();
            for (int i = 0; i < 3; i++) {
                Call step = steps.get(i);
                assertThat(step.number("row0.changes")).isEqualTo(1);
                assertThat(step.number("row0.wants_logits")).isZero();
                assertThat(step.number("row0.logprobs")).isEqualTo(3);
                assertThat(step.text("row0.floats"))
                        .isEqualTo("0.500000,0.750000,0.250000,0.875000,0.125000,0.375000,1.500000");
                assertThat(step.number("row0.top_k")).isEqualTo(40);
                assertThat(step.number("row0.seed")).isEqualTo(0x1234_5678_9abc_def0L);
                assertThat(step.number("row0.choice")).isZero();
                assertThat(step.number("row0.position")).isEqualTo(3 + i);
                assertThat(step.number("row0.prompt")).isEqualTo(3);
                // From the second step on the last id is named, and not in the history.
                assertThat(step.ints("row0.history")).isEqualTo(Arrays.copyOf(whole, 3 + Math.max(0, i - 1)));
                assertThat(step.number("row0.last")).isEqualTo(i == 0 ? -1 : 0);
                assertThat(step.ints("row0.bias")).containsExactly(7, Float.floatToRawIntBits(2));
                assertThat(step.ints("row0.suppressed")).isEqualTo(i < 2 ? new int[] {199} : new int[0]);
                assertThat(step.ints("row0.mask")).isEqualTo(mask);
            }
        }
    }

    @Test
    void choicesShareTheirPromptAndTheLastBlockIsCopiedBeforeItIsWrittenTo() throws Exception {
        int[] prompt = {5, 6, 7, 8, 9};
        try (TestEngine e = engine(8, 64, open())) {
            e.run(Requests.of("a", prompt).n(2).sampling(Requests.RANDOM, 4).maxTokens(3));
            e.awaitIdle();
            assertThat(order().subList(0, 4)).containsExactly("mr_submit", "mr_copy_blocks", "mr_submit", "mr_collect");
            List<Call> steps = RecordingKernels.calls("mr_submit");
            assertThat(steps.get(0).ints("logit_row")).containsExactly(4, 4);
            assertThat(steps.get(0).number("row0.choice")).isZero();
            assertThat(steps.get(0).number("row1.choice")).isEqualTo(1);
            Call copy = RecordingKernels.calls("mr_copy_blocks").getFirst();
            Call second = steps.get(1);
            int[] tables = second.ints("table");
            int width = (int) second.number("width");
            assertThat(copy.number("group")).isZero();
            assertThat(copy.ints("from")).containsExactly(steps.get(0).ints("table")[0]);
            assertThat(new int[] {tables[0], tables[width]})
                    .containsExactlyInAnyOrder(copy.ints("from")[0], copy.ints("to")[0]);
            assertThat(second.ints("tokens")).containsExactly(-1, -2);
            assertThat(second.ints("slots")).containsExactly(tables[0] * BLOCK + 5, tables[width] * BLOCK + 5);
        }
    }

    /** Chunks, shared prefixes, copies, preemption, swaps and steps in vain: what lies in the cache is what every row's sequence says. */
    @ParameterizedTest
    @CsvSource({"40, 0", "11, 0", "11, 1000000"})
    void everyRowFindsItsSequenceInTheCache(int blocks, long hostBytes) throws Exception {
        Random random = new Random(15);
        int[] common = random.ints(21, 3, 250).toArray();
        Gate gate = new Gate();
        RecordedCache cache = new RecordedCache(BLOCK, blocks);
        try (TestEngine e = engine(blocks, hostBytes, 17, gate)) {
            List<Recorder> all = new ArrayList<>();
            List<int[]> wholes = new ArrayList<>();
            for (int i = 0; i < 9; i++) {
                int[] own = random.ints(1 + random.nextInt(25), 3, 250).toArray();
                int[] prompt = i % 2 == 0
                        ? own
                        : IntStream.concat(Arrays.stream(common), Arrays.stream(own))
                                .toArray();
                int[] whole = whole(prompt, 30);
                wholes.add(whole);
                int n = i % 3 == 0 ? 2 : 1;
                int more = 3 + random.nextInt(12);
                // Some end by an id, and are computed once more in vain.
                int stop = i % 4 == 1 ? whole[prompt.length + more - 1] : -1;
                Requests request = Requests.of("r" + i, prompt).n(n).maxTokens(stop < 0 ? more : 20);
                all.add(e.submit(stop < 0 ? request : request.stopIds(stop)));
            }
            gate.open();
            for (Recorder r : all) {
                assertThat(r.await().failure()).isEmpty();
            }
            e.awaitIdle();
            RecordingKernels.calls().forEach(call -> cache.take(call, wholes, vocabulary));
            assertThat(cache.steps()).isGreaterThan(15);
            assertThat(e.engine.load().preemptions() > 0).isEqualTo(blocks == 11);
            assertThat(RecordingKernels.calls("mr_swap_in").isEmpty()).isEqualTo(hostBytes == 0);
        }
        assertThat(RecordingKernels.models()).isZero();
    }
}
