package io.millrace.worker.text.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.vocab.Tokenizers;
import java.util.Map;

/** Makes tokenizers from GGUF metadata. */
public final class GgufTokenizers {

    private GgufTokenizers() {}

    /**
     * @param file for messages
     * @param metadata of the file by full keys, {@code tokenizer.ggml.*}
     * @throws MillraceException MR-TEXT-001 no vocabulary, MR-TEXT-002 a broken one, MR-TEXT-003 a kind that is not known
     */
    public static Tokenizer create(String file, Map<String, ?> metadata) {
        return Tokenizers.create(GgufVocabulary.read(file, metadata));
    }
}
