package io.millrace.worker.engine;

import io.millrace.worker.sampling.SampledToken;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * The output thread: calls listeners in the order of events, beside the engine's loop. A listener that throws is logged and
 * does no harm to others. Thread-safe.
 *
 * <p>At most {@value #CAPACITY} events, or groups of {@link #together}, wait; beyond, who adds one waits, so memory stays bounded whatever a listener does.
 */
final class Outputs implements AutoCloseable {

    private static final int CAPACITY = 65_536;
    private static final System.Logger LOG = System.getLogger(Outputs.class.getName());
    private static final Runnable LAST = () -> {};

    private final BlockingQueue<Runnable> events = new LinkedBlockingQueue<>(CAPACITY);
    private final Thread thread;
    /** What a thread gathers in {@link #together}. */
    private final ThreadLocal<@Nullable List<Runnable>> gathered = new ThreadLocal<>();

    Outputs(String name) {
        thread = Thread.ofPlatform().name(name).daemon(true).unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    /**
     * What the caller's thread adds meanwhile is handed over at its end, at once: so the output thread is woken once, and the appends that
     * follow come close enough to go to the log in few requests.
     */
    void together(Runnable adding) {
        List<Runnable> group = new ArrayList<>();
        gathered.set(group);
        try {
            adding.run();
        } finally {
            gathered.remove();
            if (!group.isEmpty()) {
                put(() -> group.forEach(Outputs::deliver));
            }
        }
    }

    void add(Runnable event) {
        List<Runnable> group = gathered.get();
        if (group == null) {
            put(event);
        } else {
            group.add(event);
        }
    }

    private void put(Runnable event) {
        boolean interrupted = false;
        while (true) {
            try {
                events.put(event);
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    void tokens(Sequence s, SampledToken token, String text) {
        GenerationListener listener = s.group().listener();
        int choice = s.choice();
        int start = s.outputs() - 1;
        add(() -> listener.onTokens(choice, start, List.of(token), text));
    }

    void end(Sequence s, OutputRules.End end) {
        GenerationListener listener = s.group().listener();
        int choice = s.choice();
        int n = s.outputs();
        int reasoning = s.reasoningTokens();
        if (reasoning > 0) {
            add(() -> listener.onReasoning(choice, reasoning));
        }
        add(() -> listener.onEnd(choice, n, end.finishReason(), end.stopReason(), end.text()));
    }

    void failure(GenerationListener listener, String code, String message, boolean retryable) {
        add(() -> listener.onFailure(code, message, retryable));
    }

    private void run() {
        List<Runnable> batch = new ArrayList<>();
        while (true) {
            batch.clear();
            try {
                batch.add(events.take());
            } catch (InterruptedException e) {
                continue;
            }
            events.drainTo(batch);
            for (Runnable event : batch) {
                if (event == LAST) {
                    return;
                }
                deliver(event);
            }
        }
    }

    @SuppressWarnings("CatchingUnchecked")
    private static void deliver(Runnable event) {
        try {
            event.run();
        } catch (RuntimeException | Error e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "A listener of the engine threw; it hears of later events all the same.",
                    e);
        }
    }

    /** Delivers what is queued, then ends; waits for it unless called by a listener. */
    @Override
    public void close() {
        put(LAST);
        if (Thread.currentThread() == thread) {
            return;
        }
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
