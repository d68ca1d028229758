package io.millrace.worker.serving;

import io.millrace.shared.log.Clock;
import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockRuntime;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.backend.mock.MockTokens;
import io.millrace.worker.engine.BatchEngine;
import io.millrace.worker.engine.EngineConfig;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.text.Tokenizer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;

/** Serves the mock model: real engine, real scheduling, tokens that are hashes of all ids before them. Needs no files. */
final class MockModels {

    static final int VOCABULARY = 1024;
    private static final int CONTEXT = 8192;
    private static final int BLOCK_TOKENS = 16;
    private static final int BLOCKS = 8192;
    private static final int MEAN_LENGTH = 128;
    private static final int ENTRY_BYTES = 16;

    private MockModels() {}

    /** @param weights whatever they are called: mocks of different ones give different tokens */
    static ServedModel load(
            String name, String weights, List<String> aliases, ModelOptions options, Clock clock, StepListener steps) {
        int context = options.maxModelLen() == 0 ? CONTEXT : options.maxModelLen();
        MockTokens tokens = tokens(weights);
        long seed = tokens.seed();
        long wanted =
                options.kvMemoryBytes() == 0 ? BLOCKS : options.kvMemoryBytes() / ((long) BLOCK_TOKENS * ENTRY_BYTES);
        int blocks = (int) Math.min(1 << 20, Math.max(wanted, (context + BLOCK_TOKENS - 1L) / BLOCK_TOKENS + 1));
        long host = Math.min(1 << 20, Math.max(0, options.kvHostBytes()) / ((long) BLOCK_TOKENS * ENTRY_BYTES));
        MockRuntime runtime = new MockRuntime(MockConfig.of(tokens, BLOCK_TOKENS, blocks)
                .withHostBlocks((int) host)
                .withCost(options.mockStepNanos(), options.mockRowNanos()));
        Tokenizer tokenizer = new MockTokenizer(VOCABULARY);
        EngineConfig config = Engines.config(name, context, options);
        BatchEngine engine = BatchEngine.start(config, runtime, tokenizer, clock, steps);
        RequestPreparer preparer = new RequestPreparer(
                name, tokenizer, new MockRenderer(), GenerationDefaults.NONE, VOCABULARY, context, config.maxRunning());
        ServedModel.Identity identity = new ServedModel.Identity(
                name, aliases, "mock", seed, runtime.numericsId(), "mock", 0, context, formats(options));
        return new ServedModel(identity, tokenizer, preparer, engine, () -> {});
    }

    /** The tokens of a mock of those weights. */
    static MockTokens tokens(String weights) {
        return new MockTokens(seed(weights), VOCABULARY, VOCABULARY - 1, MEAN_LENGTH);
    }

    private static OutputFormats formats(ModelOptions options) {
        return new OutputFormats(ToolFormat.of(options.toolFormat()), ReasoningFormat.of(options.reasoningFormat()));
    }

    /** Of the name, so that two of different names differ and two of one agree; never 0. */
    static long seed(String name) {
        try {
            byte[] digest =
                    MessageDigest.getInstance("SHA-256").digest(("mock:" + name).getBytes(StandardCharsets.UTF_8));
            return ByteBuffer.wrap(digest).getLong() | 1;
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
