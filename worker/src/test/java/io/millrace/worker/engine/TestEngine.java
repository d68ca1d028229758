package io.millrace.worker.engine;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.text.Tokenizer;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** An engine over any runtime, its steps recorded; closing it checks that no block is leaked. */
class TestEngine implements AutoCloseable {

    final List<StepReport> steps = new CopyOnWriteArrayList<>();
    final AtomicLong copiedBlocks = new AtomicLong();
    final ModelRuntime runtime;
    final BatchEngine engine;

    /** @param beforeRun sees every step's inputs on the engine's thread; what it throws, the runtime throws */
    TestEngine(EngineConfig config, ModelRuntime runtime, Tokenizer tokenizer, Consumer<StepInputs> beforeRun) {
        this.runtime = runtime;
        this.engine = BatchEngine.start(config, spied(beforeRun), tokenizer, Clock.SYSTEM, steps::add);
    }

    Recorder submit(Requests request) {
        GenerationRequest r = request.build();
        Recorder recorder = new Recorder(r);
        engine.submit(r, recorder);
        return recorder;
    }

    Recorder run(Requests request) {
        return submit(request).await();
    }

    /** Waits until nothing runs; all blocks must be free or only cached then. */
    void awaitIdle() throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (engine.load().running() + engine.load().waiting() > 0) {
            if (System.nanoTime() > end) {
                throw new AssertionError("still busy: " + engine.load());
            }
            Thread.onSpinWait();
        }
        engine.checkIntegrity().get(10, TimeUnit.SECONDS);
        EngineLoad load = engine.load();
        if (load.kvBlocksFree() != load.kvBlocksTotal()) {
            throw new AssertionError("leaked blocks: " + load);
        }
        if (load.host().used() != 0) {
            throw new AssertionError("leaked blocks of the host: " + load);
        }
    }

    @Override
    public void close() throws Exception {
        try {
            if (engine.healthy()) {
                awaitIdle();
            }
        } finally {
            engine.close();
        }
    }

    private ModelRuntime spied(Consumer<StepInputs> beforeRun) {
        return new ForwardingRuntime(runtime) {
            @Override
            public StepOutputs run(StepInputs inputs) {
                beforeRun.accept(inputs);
                return super.run(inputs);
            }

            @Override
            public void submit(StepInputs inputs) {
                beforeRun.accept(inputs);
                super.submit(inputs);
            }

            @Override
            public void copyBlocks(int group, int[] from, int[] to) {
                copiedBlocks.addAndGet(from.length);
                super.copyBlocks(group, from, to);
            }
        };
    }
}
