package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.BLOCK;
import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static io.millrace.worker.engine.Requests.ids;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Sequences that are preempted and go to the host. */
class SwapTest {

    private static final int PROMPT = 9;

    private final Scheduler scheduler =
            new Scheduler(config(40), mock(10).withHostBlocks(12).layout(), new SwapRule(0, new Rates()));
    private int arrivals;

    @Test
    void whatComesBackFromTheHostIsNotComputedAnew() throws Exception {
        for (boolean overlaps : new boolean[] {false, true}) {
            AtomicInteger rows = new AtomicInteger();
            var mock = mock(14).withHostBlocks(60);
            try (TestEngine e = overlaps
                    ? MockEngine.overlapping(config(40), mock, in -> rows.addAndGet(in.rows()))
                    : new MockEngine(config(40), mock, in -> rows.addAndGet(in.rows()))) {
                runSix(e);
                e.awaitIdle();
                EngineLoad load = e.engine.load();
                assertThat(load.preemptions()).isPositive();
                assertThat(load.host().blocks()).isEqualTo(60);
                assertThat(load.host().swappedOut()).isPositive();
                assertThat(load.host().swappedIn()).isBetween(1L, load.host().swappedOut());
                assertThat(rows).hasValue(6 * (6 + 29));
            }
        }
    }

    @Test
    void whatIsCopiedSlowerThanItIsComputedIsComputedAnew() throws Exception {
        ModelRuntime runtime = new MockRuntime(mock(14).withHostBlocks(60));
        ModelRuntime slow = (ModelRuntime) Proxy.newProxyInstance(
                ModelRuntime.class.getClassLoader(), new Class<?>[] {ModelRuntime.class}, (proxy, method, args) -> {
                    try {
                        return method.getName().equals("swapSeconds") ? 1e9 : method.invoke(runtime, args);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
        try (TestEngine e = new TestEngine(config(40), slow, new MockTokenizer(VOCABULARY), in -> {})) {
            runSix(e);
            assertThat(e.engine.load().preemptions()).isPositive();
            assertThat(e.engine.load().host().swappedOut()).isZero();
        }
    }

    /** The first ends with the step under way, and the second is preempted by itself: there is no step left that could carry its blocks. */
    @Test
    void whoIsPreemptedWhenNothingElseRunsGetsToTheHostToo() throws Exception {
        Gate gate = new Gate();
        var mock = mock(10).withHostBlocks(12);
        try (TestEngine e = MockEngine.overlapping(config(40), mock, gate)) {
            Recorder before = e.submit(Requests.of("x", 5, 6).maxTokens(1));
            gate.awaitEntered();
            Recorder first = e.submit(
                    Requests.of("a", ids(1, 16, VOCABULARY)).maxTokens(8).priority(5));
            Recorder second = e.submit(Requests.of("b", ids(2, 9, VOCABULARY)).maxTokens(20));
            gate.open();
            before.await();
            assertThat(first.await().ids(0)).isEqualTo(TOKENS.greedy(ids(1, 16, VOCABULARY), 8));
            assertThat(second.await().ids(0)).isEqualTo(TOKENS.greedy(ids(2, 9, VOCABULARY), 20));
            EngineLoad load = e.engine.load();
            assertThat(load.preemptions()).isEqualTo(1);
            assertThat(load.host().swappedOut()).isEqualTo(4);
            // The others are still in the prefix cache; this one was not booked yet.
            assertThat(load.host().swappedIn()).isEqualTo(1);
        }
    }

    private static void runSix(TestEngine e) {
        List<Recorder> all = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            all.add(e.submit(Requests.of("r" + i, ids(i, 6, VOCABULARY)).maxTokens(30)));
        }
        for (int i = 0; i < 6; i++) {
            assertThat(all.get(i).await().ids(0)).isEqualTo(TOKENS.greedy(ids(i, 6, VOCABULARY), 30));
        }
    }

    @Test
    void copyingPaysWhenItIsFasterThanTheLearnedPrefill() {
        Rates rates = new Rates();
        SwapRule rule = new SwapRule(0.01, rates);
        assertThat(rule.pays(5, 80)).as("nothing is known").isTrue();
        rates.learn(0, 100, 100_000_000);
        assertThat(rule.pays(7, 80)).as("0.07 s against 0.08").isTrue();
        assertThat(rule.pays(8, 80)).isFalse();
    }

    @Test
    void sharedBlocksAreCopiedOnceAndSharedAgainAfterwards() {
        Sequence a = sequence("a", 5);
        scheduler.add(a);
        step();
        Sequence b = sequence("b", 0);
        Sequence c = sequence("c", 0);
        scheduler.add(b);
        scheduler.add(c);
        Step first = untilPreempted();
        assertThat(c.swapped()).isNotNull();
        assertThat(c.computed()).isZero();
        assertThat(first.swapsOut()[0].from()).hasSize(4);
        Step second = untilPreempted();
        assertThat(b.swapped()).isNotNull();
        // Two of its six are there already.
        assertThat(second.swapsOut()[0].from()).hasSize(4);
        HostPools host = scheduler.cache().host();
        assertThat(host.used()).isEqualTo(8);
        assertThat(host.swappedOut()).isEqualTo(8);
        int[] kept = {
            requireNonNull(b.swapped()).tokens(), requireNonNull(c.swapped()).tokens()
        };
        assertThat(kept).containsExactly(23, 16);
        long queued = scheduler.queuedPrefillTokens();

        scheduler.remove(a);
        Step back = step();
        assertThat(queued).as("one id each is to be computed").isEqualTo(2);
        assertThat(back.rows()).isEqualTo(2);
        assertThat(b.computed()).isEqualTo(24);
        assertThat(c.computed()).isEqualTo(17);
        assertThat(b.block(0, 0)).isEqualTo(c.block(0, 0));
        assertThat(b.block(0, 1)).isEqualTo(c.block(0, 1));
        assertThat(host.used()).isZero();
        assertThat(host.swappedIn()).isBetween(1L, 6L);
        assertThat(back.swapsIn()[0].to()).doesNotHaveDuplicates();
        scheduler.checkIntegrity();
    }

    @Test
    void whoIsTakenOutWhileItWaitsLetsGoOfTheHost() {
        Sequence a = sequence("a", 5);
        Sequence b = sequence("b", 0);
        scheduler.add(a);
        scheduler.add(b);
        untilPreempted();
        HostPools host = scheduler.cache().host();
        assertThat(host.used()).isPositive();
        scheduler.checkIntegrity();
        scheduler.remove(b);
        assertThat(host.used()).isZero();
        scheduler.checkIntegrity();
    }

    @Test
    void afterAFailedStepTheHostHasNothingThatIsBelieved() {
        Sequence a = sequence("a", 5);
        Sequence b = sequence("b", 0);
        scheduler.add(a);
        scheduler.add(b);
        untilPreempted();
        scheduler.resetCache();
        assertThat(b.swapped()).isNull();
        assertThat(scheduler.cache().host().used()).isZero();
        scheduler.checkIntegrity();
        Step again = step();
        assertThat(again.swapsIn()[0].from()).isEmpty();
        assertThat(again.rows()).isEqualTo(a.computed() + b.computed());
    }

    @Test
    void whatDoesNotFitOnTheHostIsComputedAnew() {
        Scheduler small = new Scheduler(config(40), mock(10).withHostBlocks(2).layout(), new SwapRule(0, new Rates()));
        Sequence a = sequence("a", 5);
        Sequence b = sequence("b", 0);
        small.add(a);
        small.add(b);
        while (small.preemptions() == 0) {
            step(small);
        }
        assertThat(b.swapped()).isNull();
        assertThat(small.cache().host().used()).isZero();
        small.checkIntegrity();
    }

    private Sequence sequence(String key, int priority) {
        GenerationRequest request = Requests.of(key, ids(1, PROMPT, VOCABULARY))
                .maxTokens(30)
                .priority(priority)
                .build();
        return new SequenceGroup(request, new Recorder(request), arrivals++, new MockTokenizer(VOCABULARY), 40, 1)
                .leader();
    }

    private Step untilPreempted() {
        while (true) {
            Step step = step();
            if (step.preempted() > 0) {
                return step;
            }
        }
    }

    private Step step() {
        return step(scheduler);
    }

    /** Plans a step and books it, with ids of each sequence's own. */
    private static Step step(Scheduler scheduler) {
        Step step = scheduler.schedule();
        step.inputs(BLOCK);
        scheduler.submitted(step);
        scheduler.computed(step);
        for (Step.Target target : step.targets()) {
            Sequence s = target.sequence();
            s.accept(7 * s.length() + s.group().request().key().charAt(0));
        }
        scheduler.checkIntegrity();
        return step;
    }
}
