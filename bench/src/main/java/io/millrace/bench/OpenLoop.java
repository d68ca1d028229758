package io.millrace.bench;

import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;

/**
 * Poisson arrivals that never wait for answers: the time of the next arrival depends on the clock alone, so a slow server is
 * not spared (no coordinated omission).
 */
final class OpenLoop {

    private OpenLoop() {}

    /**
     * Sends {@code requests} at that mean rate and waits for all answers, at most {@code patienceS} after the last arrival.
     *
     * @param perSecond mean arrivals
     * @param one runs the request of that number on a thread of its own
     * @return seconds from the first arrival to the last answer
     */
    static double run(
            int requests, double perSecond, long seed, long patienceS, LoadResult into, IntFunction<StreamTimes> one)
            throws InterruptedException {
        SplittableRandom random = new SplittableRandom(seed);
        long began = System.nanoTime();
        long next = began;
        // A virtual thread that waits for a socket is woken by way of another thread, and again by its carrier.
        ExecutorService threads = Executors.newCachedThreadPool(
                Thread.ofPlatform().name("stream-", 0).daemon().factory());
        try {
            for (int i = 0; i < requests; i++) {
                long wait = next - System.nanoTime();
                if (wait > 0) {
                    TimeUnit.NANOSECONDS.sleep(wait);
                }
                int number = i;
                threads.execute(() -> into.add(one.apply(number)));
                next += (long) (-Math.log(1 - random.nextDouble()) / perSecond * 1e9);
            }
            threads.shutdown();
            if (!threads.awaitTermination(patienceS, TimeUnit.SECONDS)) {
                threads.shutdownNow();
                threads.awaitTermination(10, TimeUnit.SECONDS);
            }
        } finally {
            threads.shutdownNow();
        }
        return (System.nanoTime() - began) / 1e9;
    }
}
