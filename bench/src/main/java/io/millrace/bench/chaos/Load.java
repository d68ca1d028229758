package io.millrace.bench.chaos;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Keeps as many streams open as is wanted, each a new question. Thread-safe. */
final class Load implements AutoCloseable {

    private final ChaosClient client;
    private final Questions questions;
    private final Set<StreamState> open = ConcurrentHashMap.newKeySet();
    private final List<StreamResult> results = new ArrayList<>();
    private final AtomicInteger wrong = new AtomicInteger();
    private final Thread pump;
    private volatile int wanted;
    private volatile boolean closed;

    Load(ChaosClient client, Questions questions) {
        this.client = client;
        this.questions = questions;
        this.pump = Thread.ofPlatform().name("chaos-load").daemon().start(this::keep);
    }

    /** From now on that many. */
    void keepOpen(int streams) {
        wanted = streams;
    }

    /** That many more, at once. */
    void burst(int streams) {
        for (int i = 0; i < streams; i++) {
            begin(questions.next());
        }
    }

    /** One stream of that question. */
    void begin(Ask ask) {
        var state = new StreamState(ask);
        open.add(state);
        Thread.ofVirtual().name("stream-" + ask.number()).start(() -> follow(ask, state));
    }

    private void follow(Ask ask, StreamState state) {
        try {
            StreamResult result = client.follow(ask, state);
            if (result.error() != null || !result.text().equals(questions.text(ask))) {
                wrong.incrementAndGet();
            }
            synchronized (results) {
                results.add(result);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            wrong.incrementAndGet();
            state.fail("the client failed: " + e);
            synchronized (results) {
                results.add(state.result());
            }
        } finally {
            open.remove(state);
        }
    }

    private void keep() {
        try {
            while (!closed) {
                for (int missing = wanted - open.size(); missing > 0; missing--) {
                    begin(questions.next());
                }
                TimeUnit.MILLISECONDS.sleep(10);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Those that are open now; a copy. */
    Collection<StreamState> open() {
        return List.copyOf(open);
    }

    /** Begins no more, and waits until all are over; whether they were in time. */
    boolean drain(long patienceS) throws InterruptedException {
        wanted = 0;
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(patienceS);
        while (!open.isEmpty() && System.nanoTime() - end < 0) {
            TimeUnit.MILLISECONDS.sleep(20);
        }
        return open.isEmpty();
    }

    /** Of those that are over: without an answer, or with another text than it had to be. */
    int wrong() {
        return wrong.get();
    }

    List<StreamResult> results() {
        synchronized (results) {
            return List.copyOf(results);
        }
    }

    @Override
    public void close() {
        closed = true;
        pump.interrupt();
    }
}
