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
import io.millrace.worker.text.gguf.GgufTokenizers;
import io.millrace.worker.text.hub.FolderTokenizers;
import io.millrace.worker.text.wordpiece.WordPieces;
import java.nio.file.Files;
import java.util.Set;

/** Serves a model that gives embeddings or scores: weights into the backend, tokenizer, engine. */
final class PooledModels {

    private PooledModels() {}

    static ServedModel start(
            ResolvedModel model,
            PooledFiles files,
            ModelOptions options,
            LoadProgress progress,
            Clock clock,
            StepListener steps) {
        Tokenizer tokenizer = tokenizer(files);
        try {
            return start(model, files, tokenizer, options, progress, clock, steps);
        } catch (RuntimeException | Error e) {
            LoadedModels.closeTokenizer(tokenizer);
            throw e;
        }
    }

    private static ServedModel start(
            ResolvedModel model,
            PooledFiles files,
            Tokenizer tokenizer,
            ModelOptions options,
            LoadProgress progress,
            Clock clock,
            StepListener steps) {
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
        ModelRuntime runtime = TorchBackend.load(pooled, maxTokens, threads, progress);
        ServedModel.Identity identity = new ServedModel.Identity(
                model.name(),
                model.aliases(),
                model.origin() + " " + model.path(),
                pooled.source().hash(),
                runtime.numericsId(),
                "f32",
                files.parameters(),
                maxTokens);
        PoolingEngine engine = PoolingEngine.start(config, runtime, clock, steps);
        return new ServedModel(
                identity,
                pooled.head() ? Set.of(Task.SCORE) : Set.of(Task.EMBED, Task.SCORE),
                tokenizer,
                preparer,
                engine,
                () -> LoadedModels.closeTokenizer(tokenizer));
    }

    private static Tokenizer tokenizer(PooledFiles files) {
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
}
