package io.millrace.worker.serving;

import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.Submit.Task;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.TorchBackend;
import io.millrace.worker.engine.EngineConfig;
import io.millrace.worker.engine.PoolingEngine;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.text.Tokenizer;
import java.util.Set;

/** Serves a model that gives embeddings or scores: weights into the backend, tokenizer, engine. */
final class PooledModels {

    private PooledModels() {}

    static ServedModel start(
            ResolvedModel model,
            PooledFiles files,
            Tokenizer tokenizer,
            ModelOptions options,
            LoadProgress progress,
            Clock clock,
            StepListener steps,
            LoadWatch watch) {
        PooledModel pooled = files.model();
        int maxTokens = files.maxTokens(options);
        EngineConfig config = Engines.config(model.name(), maxTokens, options);
        PoolingPreparer preparer = new PoolingPreparer(
                model.name(),
                tokenizer,
                pooled.vocabularySize(),
                maxTokens,
                pooled.width(),
                pooled.head(),
                files.sigmoid());
        int threads =
                options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
        ModelRuntime runtime = watch.time("weights", () -> TorchBackend.load(pooled, maxTokens, threads, progress));
        ServedModel.Identity identity = new ServedModel.Identity(
                model.name(),
                model.aliases(),
                model.origin() + " " + model.path(),
                pooled.source().hash(),
                runtime.numericsId(),
                "f32",
                files.parameters(),
                maxTokens);
        try {
            PoolingEngine engine = PoolingEngine.start(config, runtime, clock, steps);
            return new ServedModel(
                    identity,
                    pooled.head() ? Set.of(Task.SCORE) : Set.of(Task.EMBED, Task.SCORE),
                    tokenizer,
                    preparer,
                    engine,
                    () -> LoadedModels.closeTokenizer(tokenizer),
                    watch.times());
        } catch (RuntimeException e) {
            runtime.close();
            throw e;
        }
    }
}
