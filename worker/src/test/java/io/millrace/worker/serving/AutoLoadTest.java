package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.hub.ModelLocator;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.AbstractOwnableSynchronizer;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** Loads for which no engine was named, where there is a GPU. */
class AutoLoadTest {

    private static final Path MODEL = Golden.path("gguf/tiny-llama-f16.gguf");
    private static final ModelOptions OPTIONS = ModelOptions.DEFAULT.withKvMemoryBytes(4 << 20);

    /** A process whose device is lost can use no other: it ends, with a status of its own. */
    @Test
    void aFaultWhileLoadingIsNotFollowedByTheProcessor() {
        assertThat(AutoEngine.isOfDevice(new MillraceException(ModelRuntime.DEVICE_LOST, "gone")))
                .isFalse();
        assertThat(AutoEngine.isOfDevice(new MillraceException("MR-MEM-001", "too little")))
                .isTrue();
    }

    /** The second load is waited for until it waits itself, or is in the check too. */
    @Test
    void loadsOfOneProcessAskTheGpuOneAfterTheOther() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        CountDownLatch first = new CountDownLatch(1);
        AtomicReference<@Nullable Thread> second = new AtomicReference<>();
        AutoEngine auto = new AutoEngine(
                () -> new NvidiaMachine(Path.of("libmillrace_cuda.so"), null, true, true, false),
                (cuda, cpu, model, options) -> {
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    first.countDown();
                    long end = System.nanoTime() + Duration.ofSeconds(10).toNanos();
                    while (System.nanoTime() < end && inside.get() == 1 && !isOver(second.get())) {
                        Thread.onSpinWait();
                    }
                    inside.decrementAndGet();
                    return new GpuAnswer("chip", "", new MillraceException("MR-CUDA-002", "old"), 1);
                });
        Assumptions.assumeTrue(KernelLibrary.find().isPresent(), "SKIPPED, the native kernels are not built");
        ModelHost host = new ModelHost(ModelLocator.fromEnvironment(), Clock.SYSTEM, auto);
        Runnable load =
                () -> host.load(MODEL.toString(), OPTIONS, ModelProgress.NONE).close();
        FutureTask<@Nullable Void> one = new FutureTask<>(load, null);
        FutureTask<@Nullable Void> two = new FutureTask<>(load, null);
        Thread.ofPlatform().daemon(true).start(one);
        assertThat(first.await(60, TimeUnit.SECONDS)).isTrue();
        second.set(Thread.ofPlatform().daemon(true).start(two));
        one.get(60, TimeUnit.SECONDS);
        two.get(60, TimeUnit.SECONDS);
        assertThat(most).hasValue(1);
    }

    /** Whether a check need not wait for that thread any more: it waits for the lock, has ended, or is the check's own. */
    private static boolean isOver(@Nullable Thread thread) {
        return thread != null
                && (thread == Thread.currentThread()
                        || !thread.isAlive()
                        || LockSupport.getBlocker(thread) instanceof AbstractOwnableSynchronizer);
    }
}
