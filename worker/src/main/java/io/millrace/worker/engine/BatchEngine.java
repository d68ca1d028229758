package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.text.Tokenizer;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Continuous batching: one platform thread takes new work, plans a step, runs it, hands out the tokens, and begins again. A second
 * one calls the listeners. Thread-safe; owns the runtime and closes it.
 *
 * <p>An exception of the runtime fails the executions of that step, retryable; the others start over, since the cache is unknown
 * then. After {@link EngineConfig#maxFailures} failed steps in a row, or when the device is lost, the engine is unhealthy: it hands everything
 * back and takes nothing more.
 */
public final class BatchEngine extends LoopEngine {

    private final Admission admission;
    private final EngineLoop loop;

    /**
     * Starts the threads.
     *
     * @throws MillraceException MR-ENGINE-001 when the KV cache cannot hold one sequence of {@link EngineConfig#maxModelLen}
     */
    public static BatchEngine start(
            EngineConfig config, ModelRuntime runtime, Tokenizer tokenizer, Clock clock, StepListener steps) {
        BatchEngine engine = new BatchEngine(config, runtime, tokenizer, clock, steps);
        engine.start();
        return engine;
    }

    private BatchEngine(
            EngineConfig config, ModelRuntime runtime, Tokenizer tokenizer, Clock clock, StepListener first) {
        super(config, first);
        this.admission = new Admission(config, runtime.vocabularySize());
        this.loop = new EngineLoop(config, runtime, tokenizer, clock, outputs, steps, outstanding);
    }

    @Override
    Loop loop() {
        return loop;
    }

    @Override
    public void submit(GenerationRequest request, GenerationListener listener) {
        submit(admission.refuse(request), request.key(), () -> loop.submit(request, listener), listener::onFailure);
    }

    @Override
    public void cancel(String key) {
        post(() -> loop.cancel(key), () -> {});
    }

    @Override
    public CompletableFuture<MillraceException> lost() {
        return loop.lost();
    }

    @Override
    public CompletableFuture<List<ProfiledStep>> profile(int count) {
        CompletableFuture<List<ProfiledStep>> done = new CompletableFuture<>();
        post(() -> loop.profile(count, done), () -> done.complete(List.of()));
        return done;
    }

    /** Checks, between two steps, that no block is leaked and every count agrees; completes exceptionally when not. */
    public CompletableFuture<Void> checkIntegrity() {
        CompletableFuture<Void> done = new CompletableFuture<>();
        post(() -> inspect(done), () -> done.completeExceptionally(new IllegalStateException("The engine is closed.")));
        return done;
    }

    private void inspect(CompletableFuture<Void> done) {
        try {
            loop.checkIntegrity();
            done.complete(null);
        } catch (IllegalStateException e) {
            done.completeExceptionally(e);
        }
    }
}
