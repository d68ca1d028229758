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
import io.millrace.worker.text.wordpiece.WordPieces;
import java.nio.file.Files;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Serves a model from its files: reads them, loads the weights into the backend, starts the engine. */
final class LoadedModels {

    private static final Logger LOG = LoggerFactory.getLogger(LoadedModels.class);

    private LoadedModels() {}

    static ServedModel load(
            ResolvedModel model, ModelOptions options, LoadProgress progress, Clock clock, StepListener steps) {
        try (OpenModel files = OpenModel.open(model.path(), options.task())) {
            Tokenizer tokenizer = tokenizer(files);
            try {
                VocabularyCheck.check(files, tokenizer);
                return switch (files) {
                    case ModelFiles generating -> start(model, generating, tokenizer, options, progress, clock, steps);
                    case PooledFiles pooled ->
                        PooledModels.start(model, pooled, tokenizer, options, progress, clock, steps);
                };
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
        KvBudget budget = KvBudget.of(files.decoder().config(), options, () -> Backends.cacheBytes(files, options));
        EngineConfig config = Engines.config(model.name(), budget.maxModelLen(), options);
        RequestPreparer preparer = new RequestPreparer(
                model.name(),
                tokenizer,
                Renderers.of(files, tokenizer),
                files.generationDefaults(),
                files.decoder().vocabularySize(),
                budget.maxModelLen(),
                config.maxRunning());
        OutputFormats formats = OutputFormats.of(files.templates(), tokenizer, options);
        long weightsHash = files.source().hash();
        long parameters = files.parameters();
        int threads =
                options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
        Backends.Loaded loaded = Backends.load(files, budget.options(), options, threads, progress);
        ModelRuntime runtime = loaded.runtime();
        ServedModel.Identity identity = new ServedModel.Identity(
                model.name(),
                model.aliases(),
                model.origin() + " " + model.path(),
                weightsHash,
                runtime.numericsId(),
                loaded.dtype(),
                parameters,
                budget.maxModelLen(),
                formats);
        LOG.info(
                "{} writes calls as {}, reasoning as {}",
                model.name(),
                formats.tools().text(),
                formats.reasoning().text());
        try {
            BatchEngine engine = BatchEngine.start(config, runtime, tokenizer, clock, steps);
            return new ServedModel(identity, tokenizer, preparer, engine, () -> closeTokenizer(own));
        } catch (RuntimeException e) {
            runtime.close();
            throw e;
        }
    }

    private static Tokenizer tokenizer(OpenModel files) {
        if (files.isGguf()) {
            return WordPieces.GGUF_MODEL.equals(files.metadata().get("tokenizer.ggml.model"))
                    ? WordPieces.ofGguf(files.metadata())
                    : GgufTokenizers.create(files.path().toString(), files.metadata());
        }
        boolean bare = !Files.isRegularFile(files.path().resolve("tokenizer.json"));
        return bare && Files.isRegularFile(files.path().resolve("vocab.txt"))
                ? WordPieces.ofFolder(files.path())
                : FolderTokenizers.open(files.path());
    }

    static void closeTokenizer(Tokenizer tokenizer) {
        if (tokenizer instanceof HubTokenizer hub) {
            hub.close();
        }
    }
}
