package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.BLOCK;
import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static io.millrace.worker.engine.Requests.ids;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.sampling.SampledToken;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class BatchEngineTest {

    @Test
    void answersAreTheModelsOwn() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] prompt = ids(1, 13, VOCABULARY);
            Recorder r = e.run(Requests.of("a", prompt).maxTokens(20));
            assertThat(r.ids(0)).isEqualTo(TOKENS.greedy(prompt, 20));
            assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(20, "length", ""));
        }
    }

    @Test
    void aWholeBatchCostsOneModelCallAStep() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(100), mock(256), gate)) {
            List<Recorder> all = new ArrayList<>();
            e.submit(Requests.of("first", 5).maxTokens(1));
            gate.awaitEntered();
            for (int i = 0; i < 20; i++) {
                all.add(e.submit(Requests.of("r" + i, ids(i, 7, VOCABULARY)).maxTokens(10)));
            }
            gate.open();
            all.forEach(Recorder::await);
            e.awaitIdle();
            // one step for the first, one for all prompts, nine for the nine further tokens of all
            assertThat(e.runtime.steps()).isEqualTo(11);
            assertThat(e.steps).hasSize(11);
            assertThat(e.steps.get(1).prefillTokens()).isEqualTo(140);
            assertThat(e.steps.get(5).decodeRows()).isEqualTo(20);
        }
    }

    @Test
    void aFirstTokenGoesOutBeforeTheFurtherOnesOfItsStep() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(100), mock(64), gate)) {
            List<String> heard = new CopyOnWriteArrayList<>();
            CountDownLatch over = new CountDownLatch(2);
            e.engine.submit(Requests.of("early", 1, 2).maxTokens(3).build(), hearing("early", heard, over));
            gate.awaitEntered();
            e.engine.submit(Requests.of("late", 3, 4).maxTokens(2).build(), hearing("late", heard, over));
            gate.open();
            assertThat(over.await(20, TimeUnit.SECONDS)).isTrue();
            assertThat(heard).containsExactly("early 0", "late 0", "early 1", "early 2", "late 1");
        }
    }

    @Test
    void tokensGoOutWhileTheNextStepRuns() throws Exception {
        Semaphore heard = new Semaphore(0);
        AtomicInteger steps = new AtomicInteger();
        // A step does not end before the token of the one before it is out.
        try (MockEngine e = new MockEngine(config(100), mock(64), in -> {
            if (steps.getAndIncrement() > 0) {
                acquire(heard);
            }
        })) {
            Recorder recorder = new Recorder(Requests.of("a", 1, 2).maxTokens(6).build(), start -> heard.release());
            e.engine.submit(recorder.request(), recorder);
            assertThat(recorder.await().tokens(0)).hasSize(6);
        }
    }

    @Test
    void aListenerThatTakesItsTimeDelaysNoStep() throws Exception {
        Semaphore third = new Semaphore(0);
        AtomicInteger steps = new AtomicInteger();
        try (MockEngine e = new MockEngine(config(100), mock(64), in -> {
            if (steps.incrementAndGet() == 3) {
                third.release();
            }
        })) {
            Recorder recorder = new Recorder(Requests.of("a", 1, 2).maxTokens(6).build(), start -> {
                if (start == 0) {
                    acquire(third);
                }
            });
            e.engine.submit(recorder.request(), recorder);
            assertThat(recorder.await().tokens(0)).hasSize(6);
        }
    }

    private static void acquire(Semaphore semaphore) {
        try {
            assertThat(semaphore.tryAcquire(20, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static GenerationListener hearing(String name, List<String> heard, CountDownLatch over) {
        return new GenerationListener() {
            @Override
            public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {
                heard.add(name + " " + start);
            }

            @Override
            public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
                over.countDown();
            }

            @Override
            public void onFailure(String code, String message, boolean retryable) {
                heard.add(code);
                over.countDown();
            }
        };
    }

    @Test
    void decodesAdvanceInEveryStepWhileALongPromptPrefills() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(900).withMaxBatchedTokens(16), mock(400), gate)) {
            Recorder stream = e.submit(Requests.of("stream", 1, 2, 3).maxTokens(60));
            gate.awaitEntered();
            Recorder late =
                    e.submit(Requests.of("long", ids(3, 600, VOCABULARY)).maxTokens(2));
            gate.open();
            late.await();
            stream.await();
            List<StepReport> mixed =
                    e.steps.stream().filter(s -> s.prefillTokens() > 3).toList();
            assertThat(mixed).hasSizeGreaterThan(38);
            assertThat(mixed.subList(1, mixed.size())).allMatch(s -> s.decodeRows() == 1);
            assertThat(e.steps).allMatch(s -> s.decodeRows() + s.prefillTokens() <= 16);
            assertThat(late.ids(0)).isEqualTo(TOKENS.greedy(ids(3, 600, VOCABULARY), 2));
        }
    }

    @Test
    void aRepeatedPromptComesFromThePrefixCacheAndGivesTheSame() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            int[] prompt = ids(1, 8 * BLOCK + 1, VOCABULARY);
            Recorder first = e.run(Requests.of("a", prompt));
            Recorder again = e.run(Requests.of("b", prompt));
            Recorder otherTenant = e.run(Requests.of("c", prompt).salt("other"));
            assertThat(first.cachedTokens()).isZero();
            assertThat(again.cachedTokens()).isEqualTo(8 * BLOCK);
            assertThat(otherTenant.cachedTokens()).isZero();
            assertThat(again.ids(0)).isEqualTo(first.ids(0));
            assertThat(otherTenant.ids(0)).isEqualTo(first.ids(0));
            e.awaitIdle();
            assertThat(e.engine.load().prefixHits()).isEqualTo(8 * BLOCK);
            int[] whole = ids(1, 8 * BLOCK, VOCABULARY);
            assertThat(e.run(Requests.of("d", whole)).cachedTokens())
                    .as("one id is always left to compute")
                    .isEqualTo(7 * BLOCK);
        }
    }

    @Test
    void choicesShareThePromptAndCopyBeforeTheyWrite() throws Exception {
        List<Integer> rows = new ArrayList<>();
        int[] prompt = ids(9, 5 * BLOCK + 2, VOCABULARY);
        try (MockEngine e = new MockEngine(config(100), mock(64), in -> rows.add(in.rows()))) {
            Recorder r = e.run(Requests.of("a", prompt).n(4).maxTokens(12).sampling(Requests.RANDOM, 5));
            for (int c = 0; c < 4; c++) {
                assertThat(r.ids(c)).isEqualTo(TOKENS.sampled(prompt, 12, 5, c));
            }
            assertThat(r.ids(0)).isNotEqualTo(r.ids(1));
            e.awaitIdle();
            assertThat(rows.getFirst()).isEqualTo(prompt.length);
            assertThat(rows.subList(1, rows.size())).hasSize(11).containsOnly(4);
            // 6 blocks shared, then 3 copies of the last
            assertThat(e.steps.get(0).kvBlocksUsed()).isEqualTo(6);
            assertThat(e.steps.get(1).kvBlocksUsed()).isEqualTo(9);
        }
    }

    @Test
    void aPoolTooSmallPreemptsAndGivesTheSame() throws Exception {
        try (MockEngine e = new MockEngine(config(40), mock(14))) {
            List<Recorder> all = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                all.add(e.submit(Requests.of("r" + i, ids(i, 6, VOCABULARY)).maxTokens(30)));
            }
            for (int i = 0; i < 6; i++) {
                assertThat(all.get(i).await().ids(0)).isEqualTo(TOKENS.greedy(ids(i, 6, VOCABULARY), 30));
            }
            assertThat(e.engine.load().preemptions()).isPositive();
        }
    }

    @Test
    void theLeastImportantIsPreemptedFirstAndTheMostImportantNever() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(40), mock(12), gate)) {
            Recorder low = e.submit(Requests.of("low", ids(1, 6, VOCABULARY)).maxTokens(30));
            Recorder high = e.submit(
                    Requests.of("high", ids(2, 6, VOCABULARY)).maxTokens(30).priority(5));
            gate.open();
            assertThat(high.await().overNanos()).isLessThan(low.await().overNanos());
            assertThat(e.engine.load().preemptions()).isEqualTo(1);
        }
    }

    @Test
    void cancelFreesTheBlocksAtOnce() throws Exception {
        try (MockEngine e = new MockEngine(config(4000), mock(1024).withCost(1_000_000, 0))) {
            Recorder r = e.submit(Requests.of("a", ids(1, 100, VOCABULARY)).maxTokens(3900));
            r.awaitFirstToken();
            e.engine.cancel("a");
            e.engine.cancel("unknown");
            assertThat(r.await().cancelled()).isTrue();
            e.awaitIdle();
        }
    }

    @Test
    void whatCannotEverRunIsRefusedWithNumbers() throws Exception {
        try (MockEngine e = new MockEngine(config(50).withMaxRunning(4), mock(64))) {
            assertThat(e.run(Requests.of("a", ids(1, 50, VOCABULARY))).failure())
                    .contains("MR-ENGINE-002")
                    .contains("50 tokens")
                    .contains("context of 50");
            assertThat(e.run(Requests.of("a", 1).n(5)).failure())
                    .contains("MR-ENGINE-003")
                    .contains("n is 5");
            Recorder outside = e.run(Requests.of("a", 1, VOCABULARY));
            assertThat(outside.failure()).contains("MR-ENGINE-010").contains("1000");
            assertThat(outside.retryable()).isFalse();
            assertThat(e.run(Requests.of("a", ids(1, 49, VOCABULARY))).ended(0))
                    .isEqualTo(new Recorder.Ended(1, "length", ""));
        }
        assertThatThrownBy(() -> new MockEngine(config(257), mock(64)))
                .hasMessageContaining("256 tokens")
                .hasMessageContaining("257");
    }

    @Test
    void tooManyExecutionsAndTwiceTheSameAreRefused() throws Exception {
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(config(50).withMaxRunning(1).withMaxWaiting(2), mock(64), gate)) {
            List<Recorder> taken = new ArrayList<>();
            taken.add(e.submit(Requests.of("a", 1)));
            taken.add(e.submit(Requests.of("b", 2)));
            Recorder twice = e.submit(Requests.of("a", 3));
            Recorder tooMany = e.submit(Requests.of("c", 4)).await();
            assertThat(tooMany.failure()).contains("MR-ENGINE-004");
            assertThat(tooMany.retryable()).isTrue();
            gate.open();
            assertThat(twice.await().failure()).contains("MR-ENGINE-005");
            taken.forEach(r -> assertThat(r.await().ended(0).n()).isEqualTo(16));
        }
    }

    @Test
    void aSoloExecutionRunsAlone() throws Exception {
        Gate gate = new Gate();
        List<Integer> batches = new ArrayList<>();
        try (MockEngine e = new MockEngine(config(100), mock(64), in -> {
            gate.accept(in);
            batches.add(in.sequences());
        })) {
            List<Recorder> all = new ArrayList<>();
            all.add(e.submit(Requests.of("first", 1).maxTokens(1)));
            gate.awaitEntered();
            all.add(e.submit(Requests.of("a", 1, 2).maxTokens(3)));
            all.add(e.submit(Requests.of("b", 1, 3).maxTokens(3)));
            all.add(e.submit(Requests.of("solo", 1, 4).maxTokens(4).solo()));
            all.add(e.submit(Requests.of("c", 1, 5).maxTokens(3)));
            all.add(e.submit(Requests.of("d", 1, 6).maxTokens(3)));
            gate.open();
            all.forEach(Recorder::await);
            e.awaitIdle();
            assertThat(batches).containsExactly(1, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2);
        }
    }

    @Test
    void aDeadlineEndsWhatRunsAndWhatWaits() throws Exception {
        try (MockEngine e =
                new MockEngine(config(4000).withMaxRunning(1), mock(1024).withCost(200_000, 0))) {
            long soon = System.currentTimeMillis() + 50;
            Recorder running = e.submit(Requests.of("a", 1).maxTokens(3000).deadlineMs(soon));
            Recorder waiting = e.submit(Requests.of("b", 2).maxTokens(3000).deadlineMs(soon));
            assertThat(running.await().failure()).contains("MR-ENGINE-007");
            assertThat(waiting.await().failure()).contains("MR-ENGINE-007");
            assertThat(running.retryable()).isFalse();
        }
    }

    @Test
    void drainFinishesWhatRunsAndTakesNothingNew() throws Exception {
        try (MockEngine e = new MockEngine(config(300), mock(256))) {
            Recorder r = e.submit(Requests.of("a", 1, 2).maxTokens(200));
            var drained = e.engine.drain();
            Recorder late = e.submit(Requests.of("b", 1, 2));
            drained.get(30, TimeUnit.SECONDS);
            assertThat(r.isOver()).isTrue();
            assertThat(r.await().ids(0)).hasSize(200);
            assertThat(late.await().failure()).contains("MR-ENGINE-008");
            assertThat(late.retryable()).isTrue();
        }
    }

    @Test
    void closeHandsEverythingBack() throws Exception {
        MockEngine e = new MockEngine(config(4000).withMaxRunning(1), mock(1024).withCost(1_000_000, 0));
        Recorder running = e.submit(Requests.of("a", 1).maxTokens(3900));
        Recorder waiting = e.submit(Requests.of("b", 2));
        running.awaitFirstToken();
        e.engine.close();
        Recorder late = e.submit(Requests.of("c", 3));
        for (Recorder r : List.of(running, waiting, late)) {
            assertThat(r.await().failure()).contains("MR-ENGINE-008");
            assertThat(r.retryable()).isTrue();
        }
        e.engine.close();
    }

    @Test
    void loadTellsWhatWasLearned() throws Exception {
        try (MockEngine e = new MockEngine(config(600), mock(256).withCost(2_000_000, 10_000))) {
            e.run(Requests.of("a", ids(1, 400, VOCABULARY)).maxTokens(20));
            e.awaitIdle();
            EngineLoad load = e.engine.load();
            assertThat(load.decodeStepS()).isBetween(0.002, 0.02);
            assertThat(load.prefillTokensPerS()).isBetween(5_000.0, 67_000.0);
            assertThat(load.generatedTokens()).isEqualTo(20);
            assertThat(load.steps()).isEqualTo(20);
        }
    }
}
