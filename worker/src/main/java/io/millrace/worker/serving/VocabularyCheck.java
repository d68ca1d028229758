package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.decoder.WeightSlot;
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
    static void check(OpenModel files, Tokenizer tokenizer) {
        String embedding = files.slots().containsKey("embed_tokens") ? "embed_tokens" : "word_embeddings";
        WeightSlot slot = Objects.requireNonNull(files.slots().get(embedding));
        String tensor = slot.tensor();
        int rows = slot.shape().getFirst();
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
