package io.millrace.gateway.batch;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;

/**
 * How many lines of a batch may be in flight: more while nobody waits for the model, fewer as soon as somebody does, none while
 * nobody serves it. Thread-safe.
 */
final class Window {

    private final int most;
    private final ArrayDeque<MonoSink<Boolean>> waiting = new ArrayDeque<>();
    private int size;
    private int running;

    Window(int most) {
        this.most = most;
    }

    /** Completes when a line may begin. */
    Mono<Boolean> enter() {
        return Mono.create(sink -> {
            synchronized (this) {
                waiting.add(sink);
            }
            sink.onCancel(() -> {
                synchronized (this) {
                    waiting.remove(sink);
                }
            });
            admit();
        });
    }

    void leave() {
        synchronized (this) {
            running--;
        }
        admit();
    }

    /**
     * Adapts to how it is now: none while others wait, one by one while batches' own lines do, so that there is always one to go first.
     *
     * @param queued requests that wait for the model
     * @param before of them, those that are no batch's
     */
    void adapt(int queued, int before) {
        synchronized (this) {
            if (before > 0) {
                size = size / 2;
            } else if (queued > 0) {
                size = Math.max(1, size / 2);
            } else {
                size = Math.clamp(2L * size, 2, most);
            }
        }
        admit();
    }

    /** Nobody serves the model: no line begins. */
    synchronized void close() {
        size = 0;
    }

    /** Lets all in, to find that it is over. */
    void open() {
        synchronized (this) {
            size = Integer.MAX_VALUE;
        }
        admit();
    }

    synchronized int size() {
        return size;
    }

    private void admit() {
        List<MonoSink<Boolean>> admitted = new ArrayList<>();
        synchronized (this) {
            while (running < size && !waiting.isEmpty()) {
                running++;
                admitted.add(waiting.poll());
            }
        }
        admitted.forEach(sink -> sink.success(true));
    }
}
