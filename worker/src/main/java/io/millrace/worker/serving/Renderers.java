package io.millrace.worker.serving;

import io.millrace.worker.text.Tokenizer;
import org.jspecify.annotations.Nullable;

/** Finds a model's chat template. */
final class Renderers {

    private Renderers() {}

    /** Null when the model has none. */
    static @Nullable PromptRenderer of(ModelFiles files, Tokenizer tokenizer) {
        return null;
    }
}
