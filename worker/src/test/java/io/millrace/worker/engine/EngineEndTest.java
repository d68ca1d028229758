package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.text.Tokenizer;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** An engine ends once, whoever closes it and whatever fails meanwhile, and every execution it was given has one end. */
class EngineEndTest {

    private static final Duration BOUND = Duration.ofSeconds(20);

    private final AtomicBoolean freed = new AtomicBoolean();
    private final Gate gate = new Gate();
    private final BatchEngine engine = engine(new MockTokenizer(VOCABULARY));

    private BatchEngine engine(Tokenizer tokenizer) {
        ModelRuntime runtime = new ForwardingRuntime(new MockRuntime(mock(64))) {
            @Override
            public StepOutputs run(StepInputs inputs) {
                gate.accept(inputs);
                return super.run(inputs);
            }

            @Override
            public void close() {
                super.close();
                freed.set(true);
            }
        };
        return BatchEngine.start(config(100), runtime, tokenizer, Clock.SYSTEM, report -> {});
    }

    @AfterEach
    void close() {
        gate.open();
        engine.close();
    }

    private static Recorder submit(BatchEngine engine, String key) {
        GenerationRequest request = Requests.of(key, 1, 2).maxTokens(4).build();
        Recorder recorder = new Recorder(request);
        engine.submit(request, recorder);
        return recorder;
    }

    @Test
    void aListenerMayCloseTheEngine() throws Exception {
        CountDownLatch closed = new CountDownLatch(1);
        engine.submit(Requests.of("a", 1, 2).build(), new GenerationListener() {
            @Override
            public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {
                engine.close();
                closed.countDown();
            }

            @Override
            public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {}

            @Override
            public void onFailure(String code, String message, boolean retryable) {}
        });
        gate.open();
        assertThat(closed.await(BOUND.toSeconds(), TimeUnit.SECONDS)).isTrue();
        engine.close();
        assertThat(freed).isTrue();
    }

    @Test
    void whoIsInterruptedWhileItClosesTheEngineFindsItsMemoryFreedAndIsInterruptedStill() throws Exception {
        Recorder running = submit(engine, "a");
        gate.awaitEntered();
        AtomicBoolean freedThen = new AtomicBoolean();
        AtomicBoolean interruptedThen = new AtomicBoolean();
        Thread closing = Thread.ofPlatform().daemon().start(() -> {
            Thread.currentThread().interrupt();
            engine.close();
            freedThen.set(freed.get());
            interruptedThen.set(Thread.currentThread().isInterrupted());
        });
        while (engine.healthy()) {
            Thread.onSpinWait();
        }
        gate.open();
        assertThat(closing.join(BOUND)).isTrue();
        assertThat(freedThen).isTrue();
        assertThat(interruptedThen).isTrue();
        assertThat(running.await().failure()).contains("MR-ENGINE-008");
    }

    @Test
    void everyExecutionGivenToAnEngineThatManyCloseHasOneEnd() throws Exception {
        gate.open();
        List<Recorder> all = new ArrayList<>();
        List<Thread> closing = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            all.add(submit(engine, "r" + i));
            if (i % 100 == 50) {
                closing.add(Thread.ofPlatform().daemon().start(engine::close));
            }
        }
        for (Thread thread : closing) {
            assertThat(thread.join(BOUND)).isTrue();
        }
        all.forEach(Recorder::await);
        assertThat(submit(engine, "late").await().failure()).contains("MR-ENGINE-008");
    }

    @Test
    void anExecutionThatFailsWhileItIsSetUpIsToldSoAndHarmsNobodyElse() {
        gate.open();
        try (BatchEngine fragile = engine(overflowingOnce())) {
            assertThat(submit(fragile, "a").await().failure())
                    .contains("MR-ENGINE-010")
                    .contains("StackOverflowError");
            assertThat(submit(fragile, "b").await().failure()).isEmpty();
            assertThat(fragile.healthy()).isTrue();
        }
    }

    /** Its first use overflows the stack, as a grammar may that is nested too deep. */
    private static Tokenizer overflowingOnce() {
        Tokenizer tokenizer = new MockTokenizer(VOCABULARY);
        AtomicBoolean used = new AtomicBoolean();
        return (Tokenizer) Proxy.newProxyInstance(
                Tokenizer.class.getClassLoader(), new Class<?>[] {Tokenizer.class}, (proxy, method, arguments) -> {
                    if (method.getName().equals("eosIds") && !used.getAndSet(true)) {
                        throw new StackOverflowError("as deep as it may be");
                    }
                    return method.invoke(tokenizer, arguments);
                });
    }
}
