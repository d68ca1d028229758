package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Continuous batching: one platform thread takes new work, plans a step, runs it, hands out the tokens, and begins again. A second
 * one calls the listeners. Thread-safe; owns the runtime and closes it.
 *
 * <p>An exception of the runtime fails the executions of that step, retryable; the others start over, since the cache is unknown
 * then. After {@link EngineConfig#maxFailures} failed steps in a row, or when the device is lost, the engine is unhealthy: it hands everything
 * back and takes nothing more.
 */
public final class BatchEngine implements Engine {

    private static final System.Logger LOG = System.getLogger(BatchEngine.class.getName());

    private sealed interface Command {
        record Submit(GenerationRequest request, GenerationListener listener) implements Command {}

        record Cancel(String key) implements Command {}

        record WhenIdle(CompletableFuture<Void> done) implements Command {}

        record Inspect(CompletableFuture<Void> done) implements Command {}

        record Profile(int steps, CompletableFuture<List<ProfiledStep>> done) implements Command {}

        record Wake() implements Command {}
    }

    private final EngineConfig config;
    private final Admission admission;
    private final Outputs outputs;
    private final EngineLoop loop;
    private final StepListeners steps;
    private final Thread thread;
    private final BlockingQueue<Command> commands = new LinkedBlockingQueue<>();

    /** Executions submitted and not over. */
    private final AtomicInteger outstanding = new AtomicInteger();

    /** Those of them that the loop has not seen. */
    private final AtomicInteger unseen = new AtomicInteger();

    private final List<CompletableFuture<Void>> whenIdle = new ArrayList<>();
    private volatile boolean draining;
    private volatile boolean closed;

    /**
     * Starts the threads.
     *
     * @throws MillraceException MR-ENGINE-001 when the KV cache cannot hold one sequence of {@link EngineConfig#maxModelLen}
     */
    public static BatchEngine start(
            EngineConfig config, ModelRuntime runtime, Tokenizer tokenizer, Clock clock, StepListener steps) {
        BatchEngine engine = new BatchEngine(config, runtime, tokenizer, clock, steps);
        engine.outputs.start();
        engine.thread.start();
        return engine;
    }

    private BatchEngine(
            EngineConfig config, ModelRuntime runtime, Tokenizer tokenizer, Clock clock, StepListener first) {
        this.config = config;
        this.admission = new Admission(config, runtime.vocabularySize());
        this.steps = new StepListeners(first);
        this.outputs = new Outputs("millrace-output-" + config.model());
        this.loop = new EngineLoop(config, runtime, tokenizer, clock, outputs, steps, outstanding);
        this.thread = Thread.ofPlatform()
                .name("millrace-engine-" + config.model())
                .daemon(true)
                .unstarted(this::run);
    }

    @Override
    public void submit(GenerationRequest request, GenerationListener listener) {
        MillraceException refusal = admission.refuse(request);
        if (refusal != null) {
            outputs.failure(listener, refusal.code(), message(refusal), false);
        } else if (draining || closed) {
            handBack(listener, "MR-ENGINE-008", "The engine is shutting down.");
        } else if (!loop.healthy()) {
            handBack(listener, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.");
        } else if (outstanding.get() >= config.maxRunning() + config.maxWaiting()) {
            handBack(
                    listener,
                    "MR-ENGINE-004",
                    "The engine has " + outstanding.get() + " executions already, the most it takes.");
        } else {
            outstanding.incrementAndGet();
            unseen.incrementAndGet();
            commands.add(new Command.Submit(request, listener));
            if (closed) {
                handBackUnseen();
            }
        }
    }

    private void handBack(GenerationListener listener, String code, String message) {
        if (closed) {
            listener.onFailure(code, message, true);
        } else {
            outputs.failure(listener, code, message, true);
        }
    }

    @Override
    public void cancel(String key) {
        commands.add(new Command.Cancel(key));
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
    public CompletableFuture<MillraceException> lost() {
        return loop.lost();
    }

    @Override
    public CompletableFuture<Void> drain() {
        draining = true;
        CompletableFuture<Void> done = new CompletableFuture<>();
        commands.add(new Command.WhenIdle(done));
        if (closed) {
            done.complete(null);
        }
        return done;
    }

    @Override
    public CompletableFuture<List<ProfiledStep>> profile(int count) {
        CompletableFuture<List<ProfiledStep>> done = new CompletableFuture<>();
        commands.add(new Command.Profile(count, done));
        if (closed) {
            done.complete(List.of());
        }
        return done;
    }

    /** Checks, between two steps, that no block is leaked and every count agrees; completes exceptionally when not. */
    public CompletableFuture<Void> checkIntegrity() {
        CompletableFuture<Void> done = new CompletableFuture<>();
        commands.add(new Command.Inspect(done));
        if (closed) {
            done.completeExceptionally(new IllegalStateException("The engine is closed."));
        }
        return done;
    }

    @Override
    public void close() {
        draining = true;
        closed = true;
        commands.add(new Command.Wake());
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
            shutDown();
        }
    }

    /** Carries out what came in; waits for something when there is nothing to run. */
    private void takeCommands() {
        Command command = commands.poll();
        while (!closed) {
            if (command != null) {
                carryOut(command);
            } else if (loop.hasWork()) {
                return;
            } else {
                idle();
                command = await();
                continue;
            }
            command = commands.poll();
        }
    }

    private @Nullable Command await() {
        try {
            return commands.take();
        } catch (InterruptedException e) {
            return null;
        }
    }

    private void carryOut(Command command) {
        switch (command) {
            case Command.Submit(GenerationRequest request, GenerationListener listener) -> {
                loop.submit(request, listener);
                unseen.decrementAndGet();
            }
            case Command.Cancel(String key) -> loop.cancel(key);
            case Command.WhenIdle(CompletableFuture<Void> done) -> whenIdle.add(done);
            case Command.Inspect(CompletableFuture<Void> done) -> inspect(done);
            case Command.Profile(int count, CompletableFuture<List<ProfiledStep>> done) -> loop.profile(count, done);
            case Command.Wake() -> {}
        }
    }

    private void inspect(CompletableFuture<Void> done) {
        try {
            loop.checkIntegrity();
            done.complete(null);
        } catch (IllegalStateException e) {
            done.completeExceptionally(e);
        }
    }

    private void idle() {
        loop.idle();
        List<CompletableFuture<Void>> done = List.copyOf(whenIdle);
        whenIdle.clear();
        if (!done.isEmpty()) {
            outputs.add(() -> done.forEach(f -> f.complete(null)));
        }
    }

    private void shutDown() {
        loop.shutDown();
        handBackUnseen();
        whenIdle.forEach(f -> f.complete(null));
        outputs.close();
        loop.close();
    }

    /** Of what came in while the engine closed. Any thread. */
    private void handBackUnseen() {
        for (Command c = commands.poll(); c != null; c = commands.poll()) {
            switch (c) {
                case Command.Submit(GenerationRequest request, GenerationListener listener) ->
                    listener.onFailure(
                            "MR-ENGINE-008", "The engine was closed before " + request.key() + " ran.", true);
                case Command.WhenIdle(CompletableFuture<Void> done) -> done.complete(null);
                case Command.Inspect(CompletableFuture<Void> done) ->
                    done.completeExceptionally(new IllegalStateException("The engine is closed."));
                case Command.Profile(int count, CompletableFuture<List<ProfiledStep>> done) -> done.complete(List.of());
                case Command.Cancel(String key) -> {}
                case Command.Wake() -> {}
            }
        }
    }

    private static String message(MillraceException e) {
        return String.valueOf(e.getMessage());
    }
}
