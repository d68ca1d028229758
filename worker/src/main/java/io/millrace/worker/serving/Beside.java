package io.millrace.worker.serving;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;

/** Work on a thread of its own, whose result or failure is taken later. Thread-safe. */
final class Beside<T> {

    private final CompletableFuture<T> result;

    private Beside(CompletableFuture<T> result) {
        this.result = result;
    }

    static <T> Beside<T> start(String thread, Supplier<T> work) {
        return new Beside<>(CompletableFuture.supplyAsync(
                work, task -> Thread.ofPlatform().name(thread).daemon(true).start(task)));
    }

    /** Whether it is over, and failed. */
    boolean failed() {
        return result.isCompletedExceptionally();
    }

    /** Waits until it is over, whatever came of it. */
    void settle() {
        result.exceptionally(failure -> null).join();
    }

    /** Waits for it; throws what it threw. */
    T take() {
        try {
            return result.join();
        } catch (CompletionException e) {
            switch (e.getCause()) {
                case RuntimeException own -> throw own;
                case Error own -> throw own;
                case null, default -> throw e;
            }
        }
    }
}
