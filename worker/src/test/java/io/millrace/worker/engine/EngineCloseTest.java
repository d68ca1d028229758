package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.sampling.SampledToken;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** What is sent while an engine closes whose thread is about to wait for something to do. */
class EngineCloseTest {

    private static final Duration BOUND = Duration.ofSeconds(20);

    /** Holds the engine's thread where it has found nothing to do and does not wait yet. */
    private static final class HeldClock implements Clock {

        private final CountDownLatch held = new CountDownLatch(1);
        private final CountDownLatch release = new CountDownLatch(1);

        @Override
        public long wallMs() {
            return Clock.SYSTEM.wallMs();
        }

        @Override
        public long nanos() {
            if (Thread.currentThread().getName().startsWith("millrace-engine-")) {
                held.countDown();
                await(release);
            }
            return Clock.SYSTEM.nanos();
        }
    }

    private static final class Throwing implements GenerationListener {

        @Override
        public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {}

        @Override
        public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {}

        @Override
        public void onFailure(String code, String message, boolean retryable) {
            throw new IllegalStateException("as it should");
        }
    }

    private final HeldClock clock = new HeldClock();
    private final AtomicBoolean runtimeClosed = new AtomicBoolean();
    private final ModelRuntime runtime = new ForwardingRuntime(new MockRuntime(mock(64))) {
        @Override
        public void close() {
            super.close();
            runtimeClosed.set(true);
        }
    };
    private final BatchEngine engine =
            BatchEngine.start(config(100), runtime, new MockTokenizer(VOCABULARY), clock, report -> {});
    private final Thread closing = Thread.ofPlatform().daemon().unstarted(engine::close);

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(BOUND.toSeconds(), TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** Until {@link BatchEngine#close} waits for the engine's thread. */
    private void close() {
        closing.start();
        long end = System.nanoTime() + BOUND.toNanos();
        while (closing.getState() != Thread.State.WAITING) {
            assertThat(System.nanoTime()).isLessThan(end);
            Thread.onSpinWait();
        }
        assertThat(engine.healthy()).isFalse();
    }

    private void awaitClosed() throws InterruptedException {
        clock.release.countDown();
        assertThat(closing.join(BOUND)).as("the engine's thread has ended").isTrue();
    }

    @Test
    void anExecutionTakenJustAsTheEngineClosesIsHandedBackOnce() throws Exception {
        GenerationRequest request = Requests.of("a", 1, 2).build();
        Recorder recorder = new Recorder(request);
        await(clock.held);
        engine.submit(request, recorder);
        close();
        awaitClosed();
        assertThat(recorder.await().failure()).contains("MR-ENGINE-008");
        assertThat(recorder.retryable()).isTrue();
    }

    @Test
    void whatIsSentToAClosingEngineDoesNotKeepItFromClosing() throws Exception {
        await(clock.held);
        close();
        engine.cancel("a");
        CompletableFuture<Void> drained = engine.drain();
        awaitClosed();
        assertThat(drained).isCompleted();
        assertThat(engine.drain()).isCompleted();
        assertThat(engine.profile(3)).isCompletedWithValue(List.of());
        assertThat(engine.checkIntegrity()).isCompletedExceptionally();
    }

    @Test
    void aListenerThatThrowsAsTheEngineClosesHarmsNobodyElse() throws Exception {
        await(clock.held);
        for (String key : List.of("a", "b")) {
            engine.submit(Requests.of(key, 1, 2).build(), new Throwing());
        }
        GenerationRequest request = Requests.of("c", 1, 2).build();
        Recorder recorder = new Recorder(request);
        engine.submit(request, recorder);
        close();
        awaitClosed();
        assertThat(recorder.await().failure()).contains("MR-ENGINE-008");
        assertThat(runtimeClosed).isTrue();
    }
}
