package io.millrace.standalone.parts;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** A part that starts on a thread of its own, so that all of them start at once. */
abstract class StartingPart implements Part {

    private static final long INTERRUPT_PATIENCE_MS = 500;

    private final CompletableFuture<String> started = new CompletableFuture<>();
    private volatile @Nullable Thread opening;

    @Override
    public final CompletableFuture<String> started() {
        return started;
    }

    final void start() {
        opening = Thread.ofPlatform().name("start-" + name()).daemon().start(() -> {
            try {
                started.complete(open());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                started.completeExceptionally(e);
            } catch (RuntimeException | Error e) {
                started.completeExceptionally(e);
            }
        });
    }

    /** Starts; returns what there is to say. */
    abstract String open() throws InterruptedException;

    /** Stops; called once, also when {@link #open} failed or was interrupted in the middle. */
    abstract void shut();

    final void stop() {
        Thread thread = opening;
        try {
            if (thread != null && thread.isAlive()) {
                thread.interrupt();
                thread.join(INTERRUPT_PATIENCE_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        shut();
    }
}
