package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ClosedLoopTest {

    @Test
    void everyRequestRunsOnceAndAllStreamsAreBusyAtOnce() throws Exception {
        CyclicBarrier all = new CyclicBarrier(4);
        AtomicInteger running = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        Set<Integer> seen = ConcurrentHashMap.newKeySet();
        LoadResult load = new LoadResult(1_000, 100);

        ClosedLoop.run(20, 4, load, i -> {
            most.accumulateAndGet(running.incrementAndGet(), Math::max);
            try {
                all.await(20, TimeUnit.SECONDS);
                return seen.add(i)
                        ? new StreamTimes(true, "", 1, new long[] {1}, 2, 2)
                        : StreamTimes.failed("twice", 1);
            } catch (Exception e) {
                return StreamTimes.failed("the others did not come: " + e, 1);
            } finally {
                running.decrementAndGet();
            }
        });

        assertThat(load.errors()).isEmpty();
        assertThat(load.ok()).isEqualTo(20);
        assertThat(seen).hasSize(20);
        assertThat(most.get()).isEqualTo(4);
    }

    @Test
    void moreStreamsThanRequestsDoNoHarm() throws Exception {
        LoadResult load = new LoadResult(1_000, 100);
        ClosedLoop.run(3, 16, load, i -> new StreamTimes(true, "", 1, new long[] {1}, 2, 2));
        assertThat(load.ok()).isEqualTo(3);
    }
}
