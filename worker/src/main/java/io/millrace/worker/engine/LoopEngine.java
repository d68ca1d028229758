package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * What engines have in common: one platform thread carries out commands, steps its loop while that has work, and hands everything back at the
 * end. A second one calls the listeners. Thread-safe.
 */
abstract sealed class LoopEngine implements Engine permits BatchEngine, PoolingEngine {

    private static final System.Logger LOG = System.getLogger(LoopEngine.class.getName());

    /** What the thread runs. Confined to it, except {@link #healthy} and {@link #load}. */
    interface Loop {

        boolean healthy();

        /** @param unseen executions that are submitted but not here yet */
        EngineLoad load(int unseen);

        boolean hasWork();

        void step();

        /** Nothing is left to do for now. */
        void idle();

        /** Unhealthy from now on: everything is handed back. */
        void breakDown(String why);

        /** Everything is handed back; the engine ends. */
        void shutDown();

        void close();
    }

    /** A listener's way to hear of a failure. */
    @FunctionalInterface
    interface Failure {
        void tell(String code, String message, boolean retryable);
    }

    /**
     * Something for the thread to do.
     *
     * @param whenClosed done instead, on any thread, when the engine closes first
     */
    private record Command(Runnable run, Runnable whenClosed) {}

    final EngineConfig config;
    final Outputs outputs;
    final StepListeners steps;

    /** Executions submitted and not over. */
    final AtomicInteger outstanding = new AtomicInteger();

    /** Those of them that the loop has not seen. */
    private final AtomicInteger unseen = new AtomicInteger();

    private final Thread thread;
    private final BlockingQueue<Command> commands = new LinkedBlockingQueue<>();
    private final List<CompletableFuture<Void>> whenIdle = new ArrayList<>();
    private volatile boolean draining;
    private volatile boolean closed;

    /** The thread takes no more commands: whoever posts one gives it up. */
    private volatile boolean over;

    LoopEngine(EngineConfig config, StepListener first) {
        this.config = config;
        this.steps = new StepListeners(first);
        this.outputs = new Outputs("millrace-output-" + config.model());
        this.thread = Thread.ofPlatform()
                .name("millrace-engine-" + config.model())
                .daemon(true)
                .unstarted(this::run);
    }

    abstract Loop loop();

    final void start() {
        outputs.start();
        thread.start();
    }

    /**
     * Queues an execution, or says why it is not taken.
     *
     * @param refusal why it can never run; null when it can
     * @param toLoop hands it to the loop
     */
    final void submit(@Nullable MillraceException refusal, String key, Runnable toLoop, Failure failure) {
        if (refusal != null) {
            fail(failure, refusal.code(), String.valueOf(refusal.getMessage()), false);
        } else if (draining || closed) {
            fail(failure, "MR-ENGINE-008", "The engine is shutting down.", true);
        } else if (!loop().healthy()) {
            fail(failure, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.", true);
        } else if (outstanding.get() >= config.maxRunning() + config.maxWaiting()) {
            fail(
                    failure,
                    "MR-ENGINE-004",
                    "The engine has " + outstanding.get() + " executions already, the most it takes.",
                    true);
        } else {
            outstanding.incrementAndGet();
            unseen.incrementAndGet();
            post(
                    () -> {
                        try {
                            toLoop.run();
                        } finally {
                            unseen.decrementAndGet();
                        }
                    },
                    () -> {
                        unseen.decrementAndGet();
                        outstanding.decrementAndGet();
                        fail(failure, "MR-ENGINE-008", "The engine was closed before " + key + " ran.", true);
                    });
        }
    }

    private void fail(Failure failure, String code, String message, boolean retryable) {
        outputs.add(() -> failure.tell(code, message, retryable));
    }

    /** Has the thread do something; the other is done, on any thread, when the engine closes first. */
    final void post(Runnable run, Runnable whenClosed) {
        commands.add(new Command(run, whenClosed));
        // Not before: the command that wakes the thread is the thread's to take.
        if (over) {
            giveUpCommands();
        }
    }

    @Override
    public final Runnable observe(StepListener listener) {
        return steps.add(listener);
    }

    @Override
    public final EngineLoad load() {
        return loop().load(unseen.get());
    }

    @Override
    public final boolean healthy() {
        return loop().healthy() && !closed;
    }

    @Override
    public final CompletableFuture<Void> drain() {
        draining = true;
        CompletableFuture<Void> done = new CompletableFuture<>();
        post(() -> whenIdle.add(done), () -> done.complete(null));
        return done;
    }

    /** Returns when the engine has ended, also to a thread that is interrupted; called by a listener, at once. */
    @Override
    public final void close() {
        draining = true;
        closed = true;
        commands.add(new Command(() -> {}, () -> {}));
        // The engine's own threads do not wait for themselves.
        if (Thread.currentThread() != thread && !outputs.isCurrent()) {
            Uninterrupted.run(thread::join);
        }
    }

    @SuppressWarnings("CatchingUnchecked")
    private void run() {
        try {
            while (!closed) {
                try {
                    carryOutCommands();
                    if (!closed && loop().hasWork()) {
                        loop().step();
                    }
                } catch (RuntimeException | Error e) {
                    LOG.log(System.Logger.Level.ERROR, "The engine broke down; everything is handed back.", e);
                    whatever("breaking down", () -> loop().breakDown(String.valueOf(e)));
                }
            }
        } finally {
            shutDown();
        }
    }

    /** Carries out what came in; waits for something when there is nothing to run. */
    private void carryOutCommands() {
        Command command = commands.poll();
        while (!closed) {
            if (command != null) {
                command.run().run();
            } else if (loop().hasWork()) {
                return;
            } else {
                idle();
                command = await();
                continue;
            }
            command = commands.poll();
        }
        if (command != null) {
            whatever("closing", command.whenClosed());
        }
    }

    private @Nullable Command await() {
        try {
            return commands.take();
        } catch (InterruptedException e) {
            return null;
        }
    }

    private void idle() {
        loop().idle();
        List<CompletableFuture<Void>> done = List.copyOf(whenIdle);
        whenIdle.clear();
        if (!done.isEmpty()) {
            outputs.add(() -> done.forEach(f -> f.complete(null)));
        }
    }

    /** Each part whatever became of the others: nothing may wait for an engine that is gone, and its memory is freed. */
    private void shutDown() {
        whatever("handing everything back", () -> loop().shutDown());
        over = true;
        giveUpCommands();
        List<CompletableFuture<Void>> drained = List.copyOf(whenIdle);
        outputs.add(() -> drained.forEach(f -> f.complete(null)));
        whatever("telling the listeners", outputs::close);
        whatever("freeing its memory", () -> loop().close());
    }

    /** Of what came in while the engine closed. Any thread. */
    private void giveUpCommands() {
        for (Command c = commands.poll(); c != null; c = commands.poll()) {
            whatever("closing", c.whenClosed());
        }
    }

    /** What it throws is logged, and keeps nothing else from being done. */
    @SuppressWarnings("CatchingUnchecked")
    private static void whatever(String doing, Runnable task) {
        try {
            task.run();
        } catch (RuntimeException | Error e) {
            LOG.log(System.Logger.Level.ERROR, "The engine failed while " + doing + ".", e);
        }
    }
}
