package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Fork and join. */
@Timeout(60)
class ThreadTeamTest {

    @Test
    void everyTaskRunsOnceInEveryJob() {
        AtomicInteger started = new AtomicInteger();
        try (ThreadTeam team = new ThreadTeam("test", 3, started::incrementAndGet)) {
            assertThat(team.threads()).isEqualTo(3);
            for (int job = 0; job < 2000; job++) {
                int count = job % 20;
                AtomicIntegerArray runs = new AtomicIntegerArray(20);
                team.parallel(count, (i, thread) -> {
                    assertThat(thread).isBetween(0, 2);
                    runs.incrementAndGet(i);
                });
                for (int i = 0; i < 20; i++) {
                    assertThat(runs.get(i)).isEqualTo(i < count ? 1 : 0);
                }
            }
        }
    }

    @Test
    void helpersTakeTasksWhileTheCallerIsBusy() {
        try (ThreadTeam team = new ThreadTeam("test", 2, () -> {})) {
            CountDownLatch both = new CountDownLatch(2);
            Set<Integer> threads = ConcurrentHashMap.newKeySet();
            team.parallel(2, (i, thread) -> {
                threads.add(thread);
                both.countDown();
                try {
                    assertThat(both.await(30, TimeUnit.SECONDS)).isTrue();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            });
            assertThat(threads).containsExactlyInAnyOrder(0, 1);
        }
    }

    @Test
    void aFailureReachesTheCallerAndTheTeamGoesOn() {
        try (ThreadTeam team = new ThreadTeam("test", 2, () -> {})) {
            AtomicInteger runs = new AtomicInteger();
            assertThatThrownBy(() -> team.parallel(50, (i, thread) -> {
                        runs.incrementAndGet();
                        if (i == 17) {
                            throw new IllegalStateException("task 17");
                        }
                    }))
                    .hasMessage("task 17");
            assertThat(runs).hasValue(50);
            AtomicInteger after = new AtomicInteger();
            team.parallel(10, (i, thread) -> after.incrementAndGet());
            assertThat(after).hasValue(10);
        }
    }
}
