package io.millrace.worker.engine;

import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.backend.mock.MockTokens;
import java.util.function.Consumer;

/** An engine over the mock. */
final class MockEngine extends TestEngine {

    static final int VOCABULARY = 1000;
    static final int BLOCK = 4;
    static final MockTokens TOKENS = new MockTokens(77, VOCABULARY, -1, 0);

    MockEngine(EngineConfig config, MockConfig mock) {
        this(config, mock, in -> {});
    }

    MockEngine(EngineConfig config, MockConfig mock, Consumer<StepInputs> beforeRun) {
        super(config, new MockRuntime(mock), new MockTokenizer(mock.tokens().vocabulary()), beforeRun);
    }

    /** One whose steps overlap. */
    static TestEngine overlapping(EngineConfig config, MockConfig mock, Consumer<StepInputs> beforeRun) {
        return new TestEngine(
                config,
                new OverlappingRuntime(new MockRuntime(mock), beforeRun),
                new MockTokenizer(mock.tokens().vocabulary()),
                in -> {});
    }

    static MockConfig mock(int blocks) {
        return MockConfig.of(TOKENS, BLOCK, blocks);
    }

    static EngineConfig config(int maxModelLen) {
        return EngineConfig.of("mock", maxModelLen);
    }
}
