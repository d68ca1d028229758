package io.millrace.worker.serving;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.engine.BatchEngine;
import io.millrace.worker.engine.EngineConfig;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import io.millrace.worker.text.hub.FolderTokenizers;
import io.millrace.worker.text.hub.HubTokenizer;

/** Serves a model from its files: reads them, loads the weights into the backend, starts the engine. */
final class LoadedModels {

    private LoadedModels() {}

    static ServedModel load(
            ResolvedModel model, ModelOptions options, LoadProgress progress, Clock clock, StepListener steps) {
        PooledFiles pooled = PooledFiles.open(model.path(), options.task());
        if (pooled != null) {
            try (pooled) {
                return PooledModels.start(model, pooled, options, progress, clock, steps);
            }
        }
        try (ModelFiles files = ModelFiles.open(model.path())) {
            Tokenizer tokenizer = tokenizer(files);
            try {
                VocabularyCheck.check(files, tokenizer);
                return start(model, files, tokenizer, options, progress, clock, steps);
            } catch (RuntimeException | Error e) {
                closeTokenizer(tokenizer);
                throw e;
            }
        }
    }

    private static ServedModel start(
            ResolvedModel model,
            ModelFiles files,
            Tokenizer own,
            ModelOptions options,
            LoadProgress progress,
            Clock clock,
            StepListener steps) {
        Tokenizer tokenizer = TurnEnds.of(own, files.templates().chat());
        KvBudget budget = KvBudget.of(files.decoder().config(), options);
        EngineConfig config = Engines.config(model.name(), budget.maxModelLen(), options);
        RequestPreparer preparer = new RequestPreparer(
                model.name(),
                tokenizer,
                Renderers.of(files, tokenizer),
                files.generationDefaults(),
                files.decoder().vocabularySize(),
                budget.maxModelLen(),
                config.maxRunning());
        long weightsHash = files.source().hash();
        long parameters = files.parameters();
        int threads =
                options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
        Backends.Loaded loaded = Backends.load(files, budget.options(), options.engine(), threads, progress);
        ModelRuntime runtime = loaded.runtime();
        ServedModel.Identity identity = new ServedModel.Identity(
                model.name(),
                model.aliases(),
                model.origin() + " " + model.path(),
                weightsHash,
                runtime.numericsId(),
                loaded.dtype(),
                parameters,
                budget.maxModelLen());
        try {
            BatchEngine engine = BatchEngine.start(config, runtime, tokenizer, clock, steps);
            return new ServedModel(identity, tokenizer, preparer, engine, () -> closeTokenizer(own));
        } catch (RuntimeException e) {
            runtime.close();
            throw e;
        }
    }

    private static Tokenizer tokenizer(ModelFiles files) {
        return files.isGguf()
                ? GgufTokenizers.create(files.path().toString(), files.metadata())
                : FolderTokenizers.open(files.path());
    }

    static void closeTokenizer(Tokenizer tokenizer) {
        if (tokenizer instanceof HubTokenizer hub) {
            hub.close();
        }
    }
}
