package io.millrace.worker.engine;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;

/**
 * The engine of a model that pools: one platform thread takes new work, plans a step of whole inputs, runs it, hands out what became
 * complete. A second one calls the listeners. Thread-safe; owns the runtime and closes it. Failures are handled as by {@link BatchEngine}.
 */
public final class PoolingEngine extends LoopEngine {

    private final Admission admission;
    private final PoolingLoop loop;

    /** Starts the threads. */
    public static PoolingEngine start(EngineConfig config, ModelRuntime runtime, Clock clock, StepListener steps) {
        PoolingEngine engine = new PoolingEngine(config, runtime, clock, steps);
        engine.start();
        return engine;
    }

    private PoolingEngine(EngineConfig config, ModelRuntime runtime, Clock clock, StepListener first) {
        super(config, first);
        this.admission = new Admission(config, runtime.vocabularySize());
        this.loop = new PoolingLoop(config, runtime, clock, outputs, steps, outstanding);
    }

    @Override
    Loop loop() {
        return loop;
    }

    @Override
    public void submit(GenerationRequest request, GenerationListener listener) {
        outputs.add(() -> listener.onFailure(
                "MR-ENGINE-014", "The model " + config.model() + " gives embeddings or scores, and no text.", false));
    }

    @Override
    public void pool(PoolingRequest request, PoolingListener listener) {
        submit(admission.refuse(request), request.key(), () -> loop.submit(request, listener), listener::onFailure);
    }

    @Override
    public void cancel(String key) {
        post(() -> loop.cancel(key), () -> {});
    }
}
