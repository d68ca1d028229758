package io.millrace.gateway.batch;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;

/** How many bytes of lines a batch may hold at a time: whoever would go beyond that waits, unless nothing else is held. Thread-safe. */
final class BytesInFlight {

    private record Waiting(int bytes, MonoSink<Boolean> sink) {}

    private final long most;
    private final ArrayDeque<Waiting> waiting = new ArrayDeque<>();
    private long held;

    BytesInFlight(long most) {
        this.most = most;
    }

    /** Completes when they may be held; each wants one {@link #give}. Those who wait are served in their order. */
    Mono<Boolean> take(int bytes) {
        return Mono.create(sink -> {
            var one = new Waiting(bytes, sink);
            synchronized (this) {
                waiting.add(one);
            }
            sink.onCancel(() -> {
                synchronized (this) {
                    waiting.remove(one);
                }
            });
            admit();
        });
    }

    void give(int bytes) {
        synchronized (this) {
            held -= bytes;
        }
        admit();
    }

    synchronized long held() {
        return held;
    }

    private void admit() {
        List<Waiting> admitted = new ArrayList<>();
        synchronized (this) {
            for (Waiting next = waiting.peek(); next != null && fits(next.bytes()); next = waiting.peek()) {
                waiting.remove();
                held += next.bytes();
                admitted.add(next);
            }
        }
        admitted.forEach(each -> each.sink().success(true));
    }

    private boolean fits(int bytes) {
        return held == 0 || held + bytes <= most;
    }
}
