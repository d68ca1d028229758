package io.millrace.router.sim;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Many seeded runs of the whole protocol. {@code -Dsim.seeds=N} sets how many, {@code -Dsim.long-seeds=N} how many more in the long form, {@code
 * -Dsim.seed=S} replays one with its trace.
 */
class SimulationTest {

    private static final int SEEDS = Integer.getInteger("sim.seeds", 20_000);
    private static final int MORE_SEEDS = Integer.getInteger("sim.long-seeds", 100_000);

    @Test
    void whateverHappensEveryReaderAgreesEveryTokenBelongsToItsPrefixAndEverythingEnds() throws InterruptedException {
        @Nullable Long replay = Long.getLong("sim.seed");
        if (replay != null) {
            SimWorld.Outcome outcome = SimWorld.run(replay, Mutation.NONE, true);
            outcome.trace().forEach(System.out::println);
            assertThat(outcome.violations()).isEmpty();
            return;
        }
        run(0, SEEDS);
    }

    @Test
    @Tag("long")
    void soItIsForAHundredThousandSeedsMore() throws InterruptedException {
        run(SEEDS, MORE_SEEDS);
    }

    /** That many seeds from the first on, on two threads. */
    private static void run(long first, int count) throws InterruptedException {
        AtomicLong next = new AtomicLong(first);
        AtomicLong failing = new AtomicLong(-1);
        LongAdder submitted = new LongAdder();
        LongAdder completed = new LongAdder();
        LongAdder fences = new LongAdder();
        AtomicInteger crashed = new AtomicInteger();
        Runnable work = () -> {
            for (long seed = next.getAndIncrement();
                    seed < first + count && failing.get() < 0;
                    seed = next.getAndIncrement()) {
                try {
                    SimWorld.Outcome outcome = SimWorld.run(seed, Mutation.NONE, false);
                    submitted.add(outcome.submitted());
                    completed.add(outcome.completed());
                    fences.add(outcome.fences());
                    if (!outcome.violations().isEmpty()) {
                        failing.compareAndSet(-1, seed);
                    }
                } catch (RuntimeException e) {
                    e.printStackTrace();
                    crashed.incrementAndGet();
                    failing.compareAndSet(-1, seed);
                }
            }
        };
        long began = System.nanoTime();
        List<Thread> threads = List.of(new Thread(work), new Thread(work));
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        if (failing.get() >= 0) {
            SimWorld.Outcome outcome = SimWorld.run(failing.get(), Mutation.NONE, true);
            outcome.trace().forEach(System.out::println);
            System.out.println("replay with -Dsim.seed=" + failing.get());
            assertThat(outcome.violations()).as("seed %d", failing.get()).isEmpty();
        }
        assertThat(crashed.get()).isZero();
        System.out.printf(
                "%d seeds in %.1f s: %d requests, %d completed, %d fences%n",
                count, (System.nanoTime() - began) / 1e9, submitted.sum(), completed.sum(), fences.sum());
        assertThat(completed.sum()).as("goodput: a run of errors must not pass").isGreaterThan(submitted.sum() / 2);
        assertThat(fences.sum()).as("fail-over was exercised").isGreaterThan(count / 10);
    }

    @Test
    void aStandstillOfTheWholeLogCausesNoFence() {
        int fences = 0;
        int completed = 0;
        for (long seed = 0; seed < 300; seed++) {
            SimWorld.Outcome outcome = SimWorld.run(seed, Mutation.NONE, Faults.Plan.STALLS, false);
            assertThat(outcome.violations()).as("seed %d", seed).isEmpty();
            if (outcome.fences() > 0 && fences == 0) {
                SimWorld.run(seed, Mutation.NONE, Faults.Plan.STALLS, true)
                        .trace()
                        .forEach(System.out::println);
            }
            fences += outcome.fences();
            completed += outcome.completed();
        }
        assertThat(completed).isPositive();
        assertThat(fences).isZero();
    }
}
