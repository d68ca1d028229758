package io.millrace.worker.engine;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.backend.mock.MockTokens;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** An engine over the mock, its steps recorded; closing it checks that no block is leaked. */
final class MockEngine implements AutoCloseable {

    static final int VOCABULARY = 1000;
    static final int BLOCK = 4;
    static final MockTokens TOKENS = new MockTokens(77, VOCABULARY, -1, 0);

    final List<StepReport> steps = new CopyOnWriteArrayList<>();
    final AtomicLong copiedBlocks = new AtomicLong();
    final MockRuntime runtime;
    final BatchEngine engine;

    MockEngine(EngineConfig config, MockConfig mock) {
        this(config, mock, in -> {});
    }

    /** @param beforeRun sees every step's inputs on the engine's thread; what it throws, the runtime throws */
    MockEngine(EngineConfig config, MockConfig mock, Consumer<StepInputs> beforeRun) {
        runtime = new MockRuntime(mock);
        engine = BatchEngine.start(
                config,
                spied(runtime, beforeRun),
                new MockTokenizer(mock.tokens().vocabulary()),
                Clock.SYSTEM,
                steps::add);
    }

    static MockConfig mock(int blocks) {
        return MockConfig.of(TOKENS, BLOCK, blocks);
    }

    static EngineConfig config(int maxModelLen) {
        return EngineConfig.of("mock", maxModelLen);
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

    private ModelRuntime spied(ModelRuntime runtime, Consumer<StepInputs> beforeRun) {
        return new ModelRuntime() {
            @Override
            public KvLayout kvLayout() {
                return runtime.kvLayout();
            }

            @Override
            public int vocabularySize() {
                return runtime.vocabularySize();
            }

            @Override
            public StepOutputs run(StepInputs inputs) {
                beforeRun.accept(inputs);
                return runtime.run(inputs);
            }

            @Override
            public void copyBlocks(int group, int[] from, int[] to) {
                copiedBlocks.addAndGet(from.length);
                runtime.copyBlocks(group, from, to);
            }

            @Override
            public String numericsId() {
                return runtime.numericsId();
            }

            @Override
            public long steps() {
                return runtime.steps();
            }

            @Override
            public void close() {
                runtime.close();
            }
        };
    }
}
