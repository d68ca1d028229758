package io.millrace.worker.serving;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.StepLimits;
import io.millrace.worker.backend.torch.TorchBackend;
import io.millrace.worker.engine.EngineConfig;
import io.millrace.worker.model.encoder.PooledModel;

/** What depends on the engine that a model's options name. */
final class Engines {

    private Engines() {}

    /** Sizes of an engine. */
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

    /** The largest step: all that run decode, or prefills fill it. */
    static StepLimits limits(ModelOptions options) {
        EngineConfig config = config("", 1, options);
        return new StepLimits(
                Math.max(config.maxBatchedTokens(), config.maxRunning() + 1),
                Math.max(config.maxRunning(), config.promptLogprobRows()));
    }

    /** Memory that loading takes. MR-MEM-001 when the KV cache's budget does not hold one sequence. */
    static MemoryNeed need(ModelOptions options, ModelFiles files, KvOptions kv) {
        MemoryNeed need = Backends.need(files, kv, options);
        return options.engine().equals(ModelHost.MOCK) ? new MemoryNeed(0, 0, need.availableBytes()) : need;
    }

    /** The same of a model without a cache. */
    static MemoryNeed need(ModelOptions options, PooledModel model) {
        MemoryNeed torch = TorchBackend.need(model);
        return options.engine().equals(ModelHost.MOCK) ? new MemoryNeed(0, 0, torch.availableBytes()) : torch;
    }

    /** How the engine keeps weights, for messages. */
    static String weights(ModelOptions options) {
        return options.engine().equals(ModelHost.MOCK) ? "weights" : Backends.weights(options.engine());
    }
}
