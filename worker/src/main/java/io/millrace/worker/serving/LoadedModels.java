package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.Submit;
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
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Serves a model from its files: reads them, loads the weights into the backend, starts the engine. */
final class LoadedModels {

    private static final Logger LOG = LoggerFactory.getLogger(LoadedModels.class);

    /** Held from looking at the GPU's free memory until the model has taken its part: loads at the same time would each see all of it. */
    private static final ReentrantLock GPU = new ReentrantLock();

    private LoadedModels() {}

    static ServedModel load(
            ResolvedModel model,
            ModelOptions options,
            AutoEngine auto,
            LoadProgress progress,
            Clock clock,
            StepListener steps) {
        LoadWatch watch = new LoadWatch(clock);
        Beside<Boolean> kernels =
                Beside.start("millrace-load-kernels", () -> watch.time("kernels", () -> Backends.prepare(options)));
        try (OpenModel files = watch.time("files", () -> OpenModel.open(model.path(), options.task()))) {
            ServedModel served = switch (files) {
                case ModelFiles generating -> {
                    Loading loading = new Loading(model, generating, kernels, progress, clock, steps, watch);
                    yield options.engine().equals("auto")
                            ? automatic(loading, options, auto)
                            : generating(loading, options);
                }
                case PooledFiles pooled -> pooled(model, pooled, options, progress, clock, steps, watch);
            };
            LOG.info("{} is loaded after {}", model.name(), served.loadTimes());
            return served;
        }
    }

    private static ServedModel pooled(
            ResolvedModel model,
            PooledFiles files,
            ModelOptions options,
            LoadProgress progress,
            Clock clock,
            StepListener steps,
            LoadWatch watch) {
        Tokenizer tokenizer = watch.time("tokenizer", () -> tokenizer(files));
        try {
            VocabularyCheck.check(files, tokenizer);
            return PooledModels.start(model, files, tokenizer, options, progress, clock, steps, watch);
        } catch (RuntimeException | Error e) {
            closeTokenizer(tokenizer);
            throw e;
        }
    }

    /** What a load is of and with, but for the options. */
    private record Loading(
            ResolvedModel model,
            ModelFiles files,
            Beside<Boolean> kernels,
            LoadProgress progress,
            Clock clock,
            StepListener steps,
            LoadWatch watch) {}

    /** On the GPU where that can be had, else on the processor: the engine is settled before anything is planned. */
    private static ServedModel automatic(Loading loading, ModelOptions options, AutoEngine auto) {
        return onGpu(loading, options, auto).orElseGet(() -> generating(loading, options));
    }

    private static Optional<ServedModel> onGpu(Loading loading, ModelOptions options, AutoEngine auto) {
        ModelFiles files = loading.files();
        GPU.lock();
        try {
            if (!loading.watch().time("gpu", () -> auto.takes(files, options))) {
                return Optional.empty();
            }
            try {
                ModelOptions onGpu = options.withEngine("cuda");
                KvBudget budget = budget(files, onGpu);
                budget.checkWorth(files.decoder().config(), options);
                return Optional.of(generating(loading, onGpu, budget));
            } catch (MillraceException e) {
                if (!AutoEngine.isOfDevice(e)) {
                    throw e;
                }
                AutoEngine.fallsBack(files, "", e);
                return Optional.empty();
            }
        } finally {
            GPU.unlock();
        }
    }

    private static KvBudget budget(ModelFiles files, ModelOptions options) {
        return KvBudget.of(files.decoder().config(), options, () -> Backends.cacheBytes(files, options));
    }

    private static ServedModel generating(Loading loading, ModelOptions options) {
        return generating(loading, options, budget(loading.files(), options));
    }

    /** Tokenizer and templates are made while the weights are loaded. */
    private static ServedModel generating(Loading loading, ModelOptions options, KvBudget budget) {
        ModelFiles files = loading.files();
        LoadWatch watch = loading.watch();
        EngineConfig config = Engines.config(loading.model().name(), budget.maxModelLen(), options);
        Beside<TextSide> beside = Beside.start("millrace-load-text", () -> TextSide.of(files, options, config, watch));
        loading.kernels().settle();
        Backends.Loaded loaded = weights(files, budget, options, loading.progress(), beside, watch);
        try {
            TextSide text = beside.take();
            try {
                return start(loading.model(), files, text, loaded, config, loading.clock(), loading.steps(), watch);
            } catch (RuntimeException | Error e) {
                text.close();
                throw e;
            }
        } catch (RuntimeException | Error e) {
            loaded.runtime().close();
            throw e;
        }
    }

    /** Of two failures that of the text is told: it needs no weights to be seen, and ends their loading. */
    private static Backends.Loaded weights(
            ModelFiles files,
            KvBudget budget,
            ModelOptions options,
            LoadProgress progress,
            Beside<TextSide> text,
            LoadWatch watch) {
        int threads =
                options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
        LoadProgress watched = (phase, fraction) -> {
            if (text.failed()) {
                text.take();
            }
            progress.at(phase, fraction);
        };
        try {
            return watch.time("weights", () -> Backends.load(files, budget.options(), options, threads, watched));
        } catch (RuntimeException | Error e) {
            text.take().close();
            throw e;
        }
    }

    private static ServedModel start(
            ResolvedModel model,
            ModelFiles files,
            TextSide text,
            Backends.Loaded loaded,
            EngineConfig config,
            Clock clock,
            StepListener steps,
            LoadWatch watch) {
        ModelRuntime runtime = loaded.runtime();
        OutputFormats formats = text.formats();
        ServedModel.Identity identity = new ServedModel.Identity(
                model.name(),
                model.aliases(),
                model.origin() + " " + model.path(),
                watch.time("hash", () -> files.source().hash()),
                runtime.numericsId(),
                loaded.dtype(),
                files.parameters(),
                config.maxModelLen(),
                formats);
        LOG.info(
                "{} writes calls as {}, reasoning as {}",
                model.name(),
                formats.tools().text(),
                formats.reasoning().text());
        BatchEngine engine = BatchEngine.start(config, runtime, text.tokenizer(), clock, steps);
        return new ServedModel(
                identity,
                Set.of(Submit.Task.GENERATE),
                text.tokenizer(),
                text.preparer(),
                engine,
                text::close,
                watch.times());
    }

    static Tokenizer tokenizer(OpenModel files) {
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
