package io.millrace.worker.engine;

import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.OutputForm;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** So many requests to an engine, of which some are always under way: when one ends, the next begins. Greedy, of random ids, without a stop. */
final class ClosedLoop {

    /**
     * What is asked for.
     *
     * @param streams requests that are under way
     * @param prompt ids of each
     * @param tokens of each answer
     */
    record Work(int streams, int requests, int prompt, int tokens) {}

    private final Engine engine;
    private final Work work;
    private final int vocabulary;
    private final long seed;
    private final AtomicInteger next = new AtomicInteger();
    private final CountDownLatch left;
    private final AtomicReference<@Nullable String> wrong = new AtomicReference<>();

    /** A loop that has not begun. @param seed of its prompts, unlike that of any other loop on the engine */
    ClosedLoop(Engine engine, Work work, int vocabulary, long seed) {
        this.engine = engine;
        this.work = work;
        this.vocabulary = vocabulary;
        this.seed = seed;
        this.left = new CountDownLatch(work.requests());
    }

    /**
     * Seconds from the first request until the last has ended.
     *
     * @throws IllegalStateException when one fails, has too few tokens, or not all are over in time; the engine is of no use then
     */
    double seconds(long mostSeconds) throws InterruptedException {
        long began = System.nanoTime();
        for (int i = 0; i < Math.min(work.streams(), work.requests()); i++) {
            submit();
        }
        boolean over = left.await(mostSeconds, TimeUnit.SECONDS);
        double seconds = (System.nanoTime() - began) / 1e9;
        String why = wrong.get();
        if (why != null) {
            throw new IllegalStateException(why);
        }
        if (!over) {
            throw new IllegalStateException(
                    left.getCount() + " of " + work.requests() + " requests are not over after " + mostSeconds + " s");
        }
        return seconds;
    }

    private void submit() {
        int number = next.getAndIncrement();
        if (number < work.requests()) {
            engine.submit(request(number), new Listener());
        }
    }

    private GenerationRequest request(int number) {
        return new GenerationRequest(
                "request-" + seed + "-" + number,
                new SplittableRandom(seed << 32 | number)
                        .ints(work.prompt(), 0, vocabulary)
                        .toArray(),
                SamplingParams.GREEDY,
                number,
                1,
                List.of(new int[0]),
                new boolean[1],
                work.tokens(),
                0,
                new int[0],
                List.of(),
                false,
                OutputForm.plain(true),
                List.of(),
                null,
                -1,
                "",
                0,
                System.currentTimeMillis() + TimeUnit.HOURS.toMillis(1),
                false,
                null);
    }

    private void fail(String what) {
        wrong.compareAndSet(null, what);
        while (left.getCount() > 0) {
            left.countDown();
        }
    }

    private final class Listener implements GenerationListener {

        @Override
        public void onTokens(int choice, int start, List<SampledToken> list, String text) {}

        @Override
        public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
            if (n == work.tokens()) {
                submit();
                left.countDown();
            } else {
                fail("a request ended with " + n + " of " + work.tokens() + " tokens: " + finishReason);
            }
        }

        @Override
        public void onFailure(String code, String message, boolean retryable) {
            fail(code + " " + message);
        }
    }
}
