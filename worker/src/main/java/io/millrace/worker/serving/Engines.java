package io.millrace.worker.serving;

import io.millrace.worker.engine.EngineConfig;

/** Sizes of an engine from a model's options. */
final class Engines {

    private Engines() {}

    static EngineConfig config(String model, int maxModelLen, ModelOptions options) {
        EngineConfig config = EngineConfig.of(model, maxModelLen);
        if (options.maxRunning() > 0) {
            config = config.withMaxRunning(options.maxRunning());
        }
        if (options.stepTokens() > 0) {
            config = config.withMaxBatchedTokens(options.stepTokens());
        }
        return config;
    }
}
