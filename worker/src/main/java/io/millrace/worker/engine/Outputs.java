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
 * A listener does not wait for itself: what it adds then is delivered at once. What is added after the end is delivered on the thread that adds it.
 */
final class Outputs implements AutoCloseable {

    private static final int CAPACITY = 65_536;
    private static final System.Logger LOG = System.getLogger(Outputs.class.getName());
    private static final Runnable LAST = () -> {};

    private final BlockingQueue<Runnable> events = new LinkedBlockingQueue<>(CAPACITY);
    private final Thread thread;
    /** What a thread gathers in {@link #together}. */
    private final ThreadLocal<@Nullable List<Runnable>> gathered = new ThreadLocal<>();

    /** The thread takes no more events: whoever adds one delivers it. */
    private volatile boolean over;

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
        if (!isCurrent()) {
            Uninterrupted.run(() -> events.put(event));
        } else if (!events.offer(event)) {
            deliver(event);
        }
        if (over) {
            deliverRest();
        }
    }

    /** Whether a listener calls. */
    boolean isCurrent() {
        return Thread.currentThread() == thread;
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
        boolean ended = false;
        while (!ended) {
            batch.clear();
            try {
                batch.add(events.take());
            } catch (InterruptedException e) {
                continue;
            }
            events.drainTo(batch);
            batch.forEach(Outputs::deliver);
            ended = batch.contains(LAST);
        }
        over = true;
        deliverRest();
    }

    /** Of what came in while it ended. Any thread. */
    private void deliverRest() {
        for (Runnable event = events.poll(); event != null; event = events.poll()) {
            deliver(event);
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

    /** Delivers what is queued, then ends; waits for it. Not for listeners. */
    @Override
    public void close() {
        put(LAST);
        Uninterrupted.run(thread::join);
    }
}
