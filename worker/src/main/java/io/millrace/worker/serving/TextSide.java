package io.millrace.worker.serving;

import io.millrace.worker.engine.EngineConfig;
import io.millrace.worker.text.Tokenizer;
import java.util.Optional;

/**
 * What a generating model needs beside its weights: requests into ids, and ids into text.
 *
 * @param own the tokenizer of the files, to be closed in the end
 * @param tokenizer the same, with the ends of turns
 */
record TextSide(Tokenizer own, Tokenizer tokenizer, RequestPreparer preparer, OutputFormats formats) {

    /** Reads and checks it; coded errors as of the tokenizers, MR-MODEL-005 when the vocabulary is another model's. */
    static TextSide of(ModelFiles files, ModelOptions options, EngineConfig config, LoadWatch watch) {
        Tokenizer own = watch.time("tokenizer", () -> LoadedModels.tokenizer(files));
        try {
            VocabularyCheck.check(files, own);
            Tokenizer tokenizer = TurnEnds.of(own, files.templates().chat());
            Optional<PromptRenderer> renderer =
                    watch.time("templates", () -> Optional.ofNullable(Renderers.of(files, tokenizer)));
            RequestPreparer preparer = new RequestPreparer(
                    config.model(),
                    tokenizer,
                    renderer.orElse(null),
                    files.generationDefaults(),
                    files.decoder().vocabularySize(),
                    config.maxModelLen(),
                    config.maxRunning());
            return new TextSide(own, tokenizer, preparer, OutputFormats.of(files.templates(), tokenizer, options));
        } catch (RuntimeException | Error e) {
            LoadedModels.closeTokenizer(own);
            throw e;
        }
    }

    /** Frees what was made of it. */
    void close() {
        LoadedModels.closeTokenizer(own);
    }
}
