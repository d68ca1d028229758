package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.RecordingKernels;
import io.millrace.worker.backend.cpu.RecordingKernels.Call;
import io.millrace.worker.backend.mock.MockTokenizer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Calls of the C ABI that fail while an engine runs: what is handed back, what goes on, and what is still called. */
class RecordedFailureTest {

    private static final String MODEL = "gguf/tiny-llama-f16.gguf";
    private static final int[] PROMPT = {5, 6, 7, 8, 9};

    /** Of a cache that two sequences of 75 ids outgrow. */
    private static final int BLOCKS = 6;

    private static final List<int[]> OUTGROWING =
            List.of(Requests.ids(3, 30, 250), Requests.ids(4, 30, 250), Requests.ids(5, 30, 250));

    private int vocabulary;

    @BeforeEach
    void forget() {
        RecordingKernels.reset();
    }

    private TestEngine engine(Gate gate) {
        ModelRuntime runtime = RecordingKernels.load(MODEL, 32);
        vocabulary = runtime.vocabularySize();
        RecordingKernels.reset();
        return new TestEngine(
                EngineConfig.of("recorded", 80).withMaxRunning(3), runtime, new MockTokenizer(vocabulary), gate);
    }

    /** One with room on the host. */
    private TestEngine swapping(Gate gate) {
        ModelRuntime runtime = RecordingKernels.load(MODEL, BLOCKS, 1 << 20);
        vocabulary = runtime.vocabularySize();
        RecordingKernels.reset();
        return new TestEngine(EngineConfig.of("recorded", 80), runtime, new MockTokenizer(vocabulary), gate);
    }

    /** Those that outgrow the cache. */
    private static List<Recorder> submitTogether(TestEngine e, Gate gate) {
        List<Recorder> all = new ArrayList<>();
        for (int i = 0; i < OUTGROWING.size(); i++) {
            all.add(e.submit(Requests.of("r" + i, OUTGROWING.get(i)).maxTokens(45)));
            if (i == 0) {
                gate.awaitEntered();
            }
        }
        gate.open();
        return all;
    }

    private int[] output(int[] prompt, int count) {
        return Arrays.copyOfRange(whole(prompt, count), prompt.length, prompt.length + count);
    }

    private int[] whole(int[] prompt, int count) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + count);
        for (int i = prompt.length; i < ids.length; i++) {
            ids[i] = RecordingKernels.next(ids[i - 1], i - 1, vocabulary);
        }
        return ids;
    }

    private static List<Call> after(String function) {
        List<Call> calls = RecordingKernels.calls();
        int at = 0;
        while (!calls.get(at).function().equals(function) || !calls.get(at).failed()) {
            at++;
        }
        return calls.subList(at + 1, calls.size());
    }

    @ParameterizedTest
    @CsvSource({
        "mr_submit,0,2,MR-MEM-001",
        "mr_submit,3,2,MR-MEM-001",
        "mr_submit,3,4,MR-CUDA-003",
        "mr_collect,0,2,MR-MEM-001",
        "mr_collect,2,2,MR-MEM-001",
        "mr_copy_blocks,0,2,MR-MEM-001",
        "mr_copy_blocks,0,4,MR-CUDA-003"
    })
    void aFailedCallHandsItsStepsBackAndTheOthersStartOver(String function, int before, int status, String code)
            throws Exception {
        Gate gate = new Gate();
        try (TestEngine e = engine(gate)) {
            RecordingKernels.fail(function, before, status);
            Recorder hit = e.submit(Requests.of("a", PROMPT).n(2).maxTokens(20));
            gate.awaitEntered();
            Recorder other = e.submit(Requests.of("b", 50, 51).n(3).maxTokens(6));
            gate.open();
            assertThat(hit.await().failure())
                    .contains("MR-ENGINE-006")
                    .contains(code)
                    .contains("told to fail in " + function);
            assertThat(hit.retryable()).isTrue();
            assertThat(other.await().failure()).isEmpty();
            for (int choice = 0; choice < 3; choice++) {
                assertThat(other.ids(choice)).isEqualTo(output(new int[] {50, 51}, 6));
            }
            assertThat(e.run(Requests.of("c", PROMPT).maxTokens(5)).ids(0)).isEqualTo(output(PROMPT, 5));
            assertThat(e.engine.healthy()).isTrue();
            e.awaitIdle();
            // What was under way is gone with it, and not asked for again.
            Call next = after(function).stream()
                    .filter(c -> c.has("flying"))
                    .findFirst()
                    .orElseThrow();
            assertThat(next.function()).isEqualTo("mr_submit");
            assertThat(next.number("flying")).isZero();
            assertThat(RecordingKernels.calls().stream().filter(Call::failed)).hasSize(1);
        }
        assertFreed();
    }

    @ParameterizedTest
    @CsvSource({"mr_submit,0", "mr_submit,4", "mr_collect,0", "mr_collect,3", "mr_copy_blocks,0"})
    void nothingButTheEndIsCalledAfterAFault(String function, int before) throws Exception {
        Gate gate = new Gate();
        try (TestEngine e = engine(gate)) {
            RecordingKernels.fail(function, before, RecordingKernels.FAULT);
            Recorder hit = e.submit(Requests.of("a", PROMPT).n(2).maxTokens(20));
            gate.awaitEntered();
            Recorder other = e.submit(Requests.of("b", 50, 51).n(2).maxTokens(20));
            gate.open();
            assertThat(hit.await().failure())
                    .contains("MR-ENGINE-006")
                    .contains("MR-CUDA-004")
                    .contains("told to fail in " + function);
            // It was in the step too, waited, or came too late.
            assertThat(other.await().failure()).containsAnyOf("MR-ENGINE-006", "MR-ENGINE-009");
            assertThat(hit.retryable() && other.retryable()).isTrue();
            assertThat(e.engine.lost().get(10, TimeUnit.SECONDS).code()).isEqualTo(ModelRuntime.DEVICE_LOST);
            assertThat(e.engine.healthy()).isFalse();
            assertThat(e.run(Requests.of("late", 1)).failure()).contains("MR-ENGINE-009");
        }
        assertThat(after(function)).extracting(Call::function).containsExactly("mr_free");
        assertFreed();
    }

    /**
     * Two that outgrow the cache: one goes to the host and comes back. The step that fails hands back whoever is in it; who is not, and what comes after, is
     * computed anew, and nothing that the host was to have is believed.
     */
    @ParameterizedTest
    @CsvSource({
        "mr_swap_out,2,MR-MEM-001",
        "mr_swap_out,4,MR-CUDA-003",
        "mr_swap_in,2,MR-MEM-001",
        "mr_swap_in,4,MR-CUDA-003"
    })
    void aSwapThatFailsTakesAlongWhatIsUnderWayAndIsNotBelieved(String function, int status, String code)
            throws Exception {
        List<int[]> prompts = OUTGROWING;
        Gate gate = new Gate();
        try (TestEngine e = swapping(gate)) {
            RecordingKernels.fail(function, 0, status);
            List<Recorder> all = submitTogether(e, gate);
            int handedBack = 0;
            for (int i = 0; i < prompts.size(); i++) {
                Recorder r = all.get(i).await();
                if (r.failure().isEmpty()) {
                    assertThat(r.ids(0)).isEqualTo(output(prompts.get(i), 45));
                    continue;
                }
                handedBack++;
                assertThat(r.failure())
                        .contains("MR-ENGINE-006")
                        .contains(code)
                        .contains("told to fail in " + function);
                assertThat(r.retryable()).isTrue();
                // As whoever hands it back does: it begins again after what it has given so far.
                int[] so = r.ids(0);
                assertThat(so).isEqualTo(output(prompts.get(i), so.length));
                int[] resumed = IntStream.concat(Arrays.stream(prompts.get(i)), Arrays.stream(so))
                        .toArray();
                Recorder again = e.run(Requests.of("again" + i, resumed).maxTokens(45 - so.length));
                assertThat(again.ids(0)).isEqualTo(Arrays.copyOfRange(output(prompts.get(i), 45), so.length, 45));
            }
            assertThat(handedBack).isBetween(1, prompts.size());
            assertThat(e.engine.healthy()).isTrue();
            e.awaitIdle();
        }
        List<Call> after = after(function);
        assertThat(after.getFirst().function()).isEqualTo("mr_submit");
        assertThat(after.getFirst().number("flying")).isZero();
        // From there on each row finds its sequence in a cache that has forgotten everything.
        RecordedCache cache = new RecordedCache(16, BLOCKS);
        List<int[]> wholes = prompts.stream().map(p -> whole(p, 45)).toList();
        after.forEach(call -> cache.take(call, wholes, vocabulary));
        assertFreed();
    }

    @Test
    void nothingButTheEndIsCalledAfterAFaultInASwap() throws Exception {
        String function = "mr_swap_out";
        Gate gate = new Gate();
        try (TestEngine e = swapping(gate)) {
            RecordingKernels.fail(function, 0, RecordingKernels.FAULT);
            for (Recorder each : submitTogether(e, gate)) {
                assertThat(each.await().failure()).containsAnyOf("MR-ENGINE-006", "MR-ENGINE-009");
                assertThat(each.retryable()).isTrue();
            }
            assertThat(e.engine.lost().get(10, TimeUnit.SECONDS).code()).isEqualTo(ModelRuntime.DEVICE_LOST);
            assertThat(e.engine.healthy()).isFalse();
        }
        assertThat(after(function)).extracting(Call::function).containsExactly("mr_free");
        assertFreed();
    }

    @Test
    void aProfileThatCannotBeTakenIsToldSoAndNothingElseSuffers() throws Exception {
        try (TestEngine e = engine(open())) {
            RecordingKernels.fail("mr_profile", 0, RecordingKernels.INTERNAL);
            assertThat(e.engine.profile(1))
                    .failsWithin(Duration.ofSeconds(20))
                    .withThrowableOfType(ExecutionException.class)
                    .withMessageContaining("MR-CUDA-003")
                    .withMessageContaining("status " + RecordingKernels.INTERNAL);
            CompletableFuture<List<ProfiledStep>> next = e.engine.profile(2);
            assertThat(e.run(Requests.of("a", PROMPT).maxTokens(5)).ids(0)).isEqualTo(output(PROMPT, 5));
            assertThat(next).succeedsWithin(Duration.ofSeconds(20));
            assertThat(next.get()).hasSize(2);
            assertThat(e.engine.healthy()).isTrue();
            assertThat(RecordingKernels.calls("mr_profile"))
                    .extracting(call -> call.number("begins"))
                    .containsExactly(1L, 1L, 0L);
        }
        assertFreed();
    }

    @Test
    void memoryThatStaysAwayEndsTheEngineAfterAFewSteps() throws Exception {
        try (TestEngine e = engine(open())) {
            for (int i = 0; i < 3; i++) {
                RecordingKernels.fail("mr_submit", 0, RecordingKernels.MEMORY);
            }
            for (int i = 0; i < 3; i++) {
                Recorder r = e.run(Requests.of("r" + i, PROMPT).maxTokens(5));
                assertThat(r.failure()).contains("MR-ENGINE-006").contains("MR-MEM-001");
                assertThat(r.retryable()).isTrue();
            }
            assertThat(e.run(Requests.of("late", 1)).failure()).contains("MR-ENGINE-009");
            assertThat(e.engine.healthy()).isFalse();
        }
        assertThat(RecordingKernels.calls("mr_submit")).hasSize(3);
        assertFreed();
    }

    @Test
    void whatIsUnderWayWhenTheEngineClosesIsHandedBackAndFreedOnce() throws Exception {
        Gate gate = new Gate();
        Recorder running;
        TestEngine e = engine(gate);
        try {
            running = e.submit(Requests.of("a", PROMPT).maxTokens(70));
            gate.awaitEntered();
        } finally {
            Thread closes = Thread.ofPlatform().start(e.engine::close);
            while (closes.getState() == Thread.State.RUNNABLE) {
                Thread.onSpinWait();
            }
            gate.open();
            closes.join(20_000);
        }
        assertThat(running.await().failure()).contains("MR-ENGINE-008");
        assertThat(running.retryable()).isTrue();
        List<Call> calls = RecordingKernels.calls();
        assertThat(calls.getLast().function()).isEqualTo("mr_free");
        assertFreed();
    }

    private static Gate open() {
        Gate gate = new Gate();
        gate.open();
        return gate;
    }

    private static void assertFreed() {
        assertThat(RecordingKernels.calls("mr_free")).hasSize(1);
        assertThat(RecordingKernels.models()).isZero();
    }
}
