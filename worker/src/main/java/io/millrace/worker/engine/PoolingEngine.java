package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The engine of a model that pools: one platform thread takes new work, plans a step of whole inputs, runs it, hands out what became
 * complete. A second one calls the listeners. Thread-safe; owns the runtime and closes it. Failures are handled as by {@link BatchEngine}.
 */
public final class PoolingEngine implements Engine {

    private static final System.Logger LOG = System.getLogger(PoolingEngine.class.getName());

    private final EngineConfig config;
    private final PoolingLoop loop;
    private final Outputs outputs;
    private final StepListeners steps;
    private final Thread thread;
    private final int vocabulary;
    private final BlockingQueue<Runnable> commands = new LinkedBlockingQueue<>();
    private final AtomicInteger outstanding = new AtomicInteger();
    private final AtomicInteger unseen = new AtomicInteger();
    private final List<CompletableFuture<Void>> whenIdle = new ArrayList<>();
    private volatile boolean draining;
    private volatile boolean closed;

    /** Starts the threads. */
    public static PoolingEngine start(EngineConfig config, ModelRuntime runtime, Clock clock, StepListener steps) {
        PoolingEngine engine = new PoolingEngine(config, runtime, clock, steps);
        engine.outputs.start();
        engine.thread.start();
        return engine;
    }

    private PoolingEngine(EngineConfig config, ModelRuntime runtime, Clock clock, StepListener first) {
        this.config = config;
        this.vocabulary = runtime.vocabularySize();
        this.steps = new StepListeners(first);
        this.outputs = new Outputs("millrace-output-" + config.model());
        this.loop = new PoolingLoop(config, runtime, clock, outputs, steps, outstanding);
        this.thread = Thread.ofPlatform()
                .name("millrace-engine-" + config.model())
                .daemon(true)
                .unstarted(this::run);
    }

    @Override
    public void submit(GenerationRequest request, GenerationListener listener) {
        outputs.add(() -> listener.onFailure(
                "MR-ENGINE-014", "The model " + config.model() + " gives embeddings or scores, and no text.", false));
    }

    @Override
    public void pool(PoolingRequest request, PoolingListener listener) {
        MillraceException refusal = refuse(request);
        if (refusal != null) {
            fail(listener, refusal.code(), String.valueOf(refusal.getMessage()), false);
        } else if (draining || closed) {
            fail(listener, "MR-ENGINE-008", "The engine is shutting down.", true);
        } else if (!loop.healthy()) {
            fail(listener, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.", true);
        } else if (outstanding.get() >= config.maxRunning() + config.maxWaiting()) {
            fail(
                    listener,
                    "MR-ENGINE-004",
                    "The engine has " + outstanding.get() + " executions already, the most it takes.",
                    true);
        } else {
            outstanding.incrementAndGet();
            unseen.incrementAndGet();
            commands.add(() -> {
                unseen.decrementAndGet();
                if (closed) {
                    outstanding.decrementAndGet();
                    listener.onFailure("MR-ENGINE-008", "The engine was closed before the execution ran.", true);
                } else {
                    loop.submit(request, listener);
                }
            });
            if (closed) {
                drainCommands();
            }
        }
    }

    private void fail(PoolingListener listener, String code, String message, boolean retryable) {
        if (closed) {
            listener.onFailure(code, message, retryable);
        } else {
            outputs.add(() -> listener.onFailure(code, message, retryable));
        }
    }

    /** Null when it can run. */
    private @Nullable MillraceException refuse(PoolingRequest request) {
        if (request.inputs().isEmpty()) {
            return new MillraceException("MR-ENGINE-010", "Malformed execution: no inputs.");
        }
        for (PoolingRequest.Input input : request.inputs()) {
            int n = input.ids().length;
            if (n == 0 || input.types().length != n) {
                return new MillraceException(
                        "MR-ENGINE-010",
                        "Malformed execution: an input of " + n + " ids, " + input.types().length + " types.");
            }
            if (n > config.maxModelLen()) {
                return new MillraceException(
                        "MR-ENGINE-002",
                        "An input has " + n + " tokens, more than the context of " + config.maxModelLen()
                                + ". Shorten it.");
            }
            for (int id : input.ids()) {
                if (id < 0 || id >= vocabulary) {
                    return new MillraceException(
                            "MR-ENGINE-010", "The id " + id + " is outside the vocabulary of " + vocabulary + ".");
                }
            }
        }
        return null;
    }

    @Override
    public void cancel(String key) {
        commands.add(() -> loop.cancel(key));
    }

    @Override
    public Runnable observe(StepListener listener) {
        return steps.add(listener);
    }

    @Override
    public EngineLoad load() {
        return loop.load(unseen.get());
    }

    @Override
    public boolean healthy() {
        return loop.healthy() && !closed;
    }

    @Override
    public CompletableFuture<Void> drain() {
        draining = true;
        CompletableFuture<Void> done = new CompletableFuture<>();
        commands.add(() -> whenIdle.add(done));
        if (closed) {
            done.complete(null);
        }
        return done;
    }

    @Override
    public void close() {
        draining = true;
        closed = true;
        commands.add(() -> {});
        if (Thread.currentThread() == thread) {
            return;
        }
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @SuppressWarnings("CatchingUnchecked")
    private void run() {
        try {
            while (!closed) {
                try {
                    takeCommands();
                    if (!closed && loop.hasWork()) {
                        loop.step();
                    }
                } catch (RuntimeException | Error e) {
                    LOG.log(System.Logger.Level.ERROR, "The engine broke down; everything is handed back.", e);
                    loop.breakDown(String.valueOf(e));
                }
            }
        } finally {
            loop.handEverythingBack("MR-ENGINE-008", "The engine was closed.");
            drainCommands();
            whenIdle.forEach(f -> f.complete(null));
            outputs.close();
            loop.close();
        }
    }

    private void takeCommands() {
        try {
            while (!closed) {
                Runnable command = commands.poll();
                if (command == null && loop.hasWork()) {
                    return;
                }
                if (command == null) {
                    idle();
                    command = commands.take();
                }
                command.run();
            }
        } catch (InterruptedException e) {
            LOG.log(System.Logger.Level.DEBUG, "Interrupted; goes on.");
        }
    }

    private void idle() {
        List<CompletableFuture<Void>> done = List.copyOf(whenIdle);
        whenIdle.clear();
        if (!done.isEmpty()) {
            outputs.add(() -> done.forEach(f -> f.complete(null)));
        }
    }

    private void drainCommands() {
        for (Runnable c = commands.poll(); c != null; c = commands.poll()) {
            c.run();
        }
    }
}
