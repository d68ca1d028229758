package io.millrace.worker.engine;

import io.millrace.worker.backend.StepInputs;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Holds the engine inside its first step until a test has submitted what it wants to see together. */
final class Gate implements Consumer<StepInputs> {

    private final CountDownLatch entered = new CountDownLatch(1);
    private final CountDownLatch opened = new CountDownLatch(1);

    @Override
    public void accept(StepInputs inputs) {
        entered.countDown();
        await(opened);
    }

    void awaitEntered() {
        await(entered);
    }

    void open() {
        opened.countDown();
    }

    private static void await(CountDownLatch latch) {
        try {
            if (!latch.await(20, TimeUnit.SECONDS)) {
                throw new AssertionError("the gate stayed shut");
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
