package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/**
 * Whether a tokenizer is the model's own. Embeddings may have more rows than there are tokens (padding), and control tokens may lie
 * beyond them (images in models that also see); ordinary tokens may not, and far fewer tokens are another model's.
 */
final class VocabularyCheck {

    private VocabularyCheck() {}

    /** MR-MODEL-005 when an ordinary token has no row, or over a quarter of the rows have no token. */
    static void check(ModelFiles files, Tokenizer tokenizer) {
        int rows = files.decoder().vocabularySize();
        String tensor = Objects.requireNonNull(files.decoder().slots().get("embed_tokens"))
                .tensor();
        if (tokenizer.vocabularySize() < rows - rows / 4) {
            throw new MillraceException(
                    "MR-MODEL-005",
                    files.path() + ": the tokenizer has only " + tokenizer.vocabularySize() + " tokens, but tensor "
                            + tensor + " has " + rows
                            + " rows: the model would write ids that have no text. Get model and tokenizer from the"
                            + " same place.");
        }
        for (int id = rows; id < tokenizer.vocabularySize(); id++) {
            byte[] bytes = tokenizer.bytes(id);
            if (bytes.length > 0 && !tokenizer.isControl(id)) {
                throw new MillraceException(
                        "MR-MODEL-005",
                        files.path() + ": the tokenizer has " + tokenizer.vocabularySize() + " tokens, but tensor "
                                + tensor + " has " + rows
                                + " rows; the first token without one is " + id + ", \""
                                + new String(bytes, StandardCharsets.UTF_8)
                                + "\". Get model and tokenizer from the same place.");
            }
        }
    }
}
