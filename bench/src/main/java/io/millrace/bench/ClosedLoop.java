package io.millrace.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntFunction;

/** Streams that are always busy: each sends its next request when the one before is answered. */
final class ClosedLoop {

    private ClosedLoop() {}

    /**
     * Sends {@code requests} by that many streams and waits for all answers.
     *
     * @param one runs the request of that number
     * @return seconds from the first request to the last answer
     */
    static double run(int requests, int streams, LoadResult into, IntFunction<StreamTimes> one)
            throws InterruptedException {
        AtomicInteger next = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        long began = System.nanoTime();
        for (int s = 0; s < Math.min(streams, requests); s++) {
            threads.add(Thread.ofPlatform().name("stream-" + s).daemon().start(() -> {
                for (int i = next.getAndIncrement(); i < requests; i = next.getAndIncrement()) {
                    into.add(one.apply(i));
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        return (System.nanoTime() - began) / 1e9;
    }
}
