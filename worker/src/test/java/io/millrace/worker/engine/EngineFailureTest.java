package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static io.millrace.worker.engine.Requests.ids;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.text.Tokenizer;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class EngineFailureTest {

    @Test
    void aFailedStepHandsBackItsExecutionsAndTheOthersLive() throws Exception {
        Gate gate = new Gate();
        Consumer<StepInputs> failsAtTen = new Consumer<>() {
            private int step;

            @Override
            public void accept(StepInputs in) {
                gate.accept(in);
                if (++step == 10) {
                    throw new IllegalStateException("the device is gone");
                }
            }
        };
        try (MockEngine e = new MockEngine(config(100).withMaxRunning(2), mock(64), failsAtTen)) {
            int[] prompt = ids(1, 17, VOCABULARY);
            List<Recorder> hit = new ArrayList<>();
            hit.add(e.submit(Requests.of("a", prompt).maxTokens(20)));
            hit.add(e.submit(Requests.of("b", 1, 2).maxTokens(20)));
            Recorder other = e.submit(Requests.of("c", prompt).maxTokens(20));
            gate.open();
            for (Recorder r : hit) {
                assertThat(r.await().failure()).contains("MR-ENGINE-006").contains("the device is gone");
                assertThat(r.retryable()).isTrue();
                assertThat(r.ids(0)).isNotEmpty();
            }
            assertThat(other.await().ids(0)).isEqualTo(TOKENS.greedy(prompt, 20));
            assertThat(other.cachedTokens()).as("the cache was unknown").isZero();
            assertThat(e.engine.healthy()).isTrue();
            assertThat(e.steps.stream().filter(StepReport::failed)).hasSize(1);
        }
    }

    @Test
    void repeatedFailuresMakeItUnhealthyAndNothingIsStuck() throws Exception {
        try (MockEngine e = new MockEngine(config(100).withMaxRunning(1), mock(64), in -> {
            throw new OutOfMemoryError("device memory");
        })) {
            List<Recorder> all = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                all.add(e.submit(Requests.of("r" + i, i + 1)));
            }
            for (Recorder r : all) {
                assertThat(r.await().failure()).containsAnyOf("MR-ENGINE-006", "MR-ENGINE-009");
                assertThat(r.retryable()).isTrue();
            }
            assertThat(e.runtime.steps()).isZero();
            assertThat(e.engine.healthy()).isFalse();
            assertThat(e.run(Requests.of("late", 1)).failure()).contains("MR-ENGINE-009");
        }
    }

    @Test
    void aRowWithoutAChoiceFailsAlone() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(100), mock(64).withRealSampling(), gate)) {
            Recorder good = e.submit(Requests.of("good", 1, 2, 3).maxTokens(8));
            gate.awaitEntered();
            Recorder impossible = e.submit(Requests.of("impossible", 1, 2, 4)
                    .badWords(IntStream.range(0, VOCABULARY)
                            .mapToObj(i -> new int[] {i})
                            .toArray(int[][]::new)));
            gate.open();
            assertThat(impossible.await().failure()).contains("MR-SAMPLING-002").contains("1000 ids suppressed");
            assertThat(impossible.retryable()).isFalse();
            assertThat(good.await().ended(0).n()).isEqualTo(8);
        }
    }

    @Test
    void anIdWithoutATextFailsItsExecutionAlone() throws Exception {
        int[] ids = TOKENS.greedy(new int[] {1, 2}, 6);
        MockTokenizer gaps = new MockTokenizer(VOCABULARY);
        Tokenizer tokenizer = (Tokenizer) Proxy.newProxyInstance(
                Tokenizer.class.getClassLoader(), new Class<?>[] {Tokenizer.class}, (proxy, method, args) -> {
                    if (method.getName().equals("bytes") && args[0].equals(ids[4])) {
                        throw new ArrayIndexOutOfBoundsException(ids[4]);
                    }
                    return method.invoke(gaps, args);
                });
        try (TestEngine e = new TestEngine(config(100), new MockRuntime(mock(64)), tokenizer, in -> {})) {
            Recorder bad = e.run(Requests.of("bad", 1, 2).maxTokens(6));
            assertThat(bad.failure()).contains("MR-ENGINE-013").contains("bad/0");
            assertThat(bad.ids(0)).hasSize(4);
            Recorder resumed =
                    e.run(Requests.of("resumed", 1, 2).accepted(List.of(ids)).maxTokens(9));
            assertThat(resumed.failure()).contains("MR-ENGINE-010");
            assertThat(e.run(Requests.of("good", 3).maxTokens(5)).ended(0).n()).isEqualTo(5);
            assertThat(e.engine.healthy()).isTrue();
        }
    }

    @Test
    void aListenerThatThrowsHarmsNobody() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            CountDownLatch over = new CountDownLatch(1);
            e.engine.submit(Requests.of("bad", 1, 2).maxTokens(5).build(), new GenerationListener() {
                @Override
                public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {
                    throw new IllegalStateException("a poisoned listener");
                }

                @Override
                public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
                    over.countDown();
                    throw new AssertionError("and worse");
                }

                @Override
                public void onFailure(String code, String message, boolean retryable) {}
            });
            assertThat(over.await(20, TimeUnit.SECONDS)).isTrue();
            assertThat(e.run(Requests.of("good", 1, 2).maxTokens(5)).ids(0))
                    .isEqualTo(TOKENS.greedy(new int[] {1, 2}, 5));
        }
    }
}
