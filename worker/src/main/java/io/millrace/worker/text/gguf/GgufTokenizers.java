package io.millrace.worker.text.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;
import java.util.Map;

/** Makes tokenizers from GGUF metadata. */
public final class GgufTokenizers {

    private GgufTokenizers() {}

    /**
     * @param metadata of the file by full keys, see {@link GgufVocabulary#fromMetadata}
     * @throws MillraceException MR-TEXT-001 no vocabulary, MR-TEXT-002 a broken one, MR-TEXT-003 a kind that is not known
     */
    public static Tokenizer create(Map<String, ?> metadata) {
        return create(GgufVocabulary.fromMetadata(metadata));
    }

    /** As {@link #create(Map)}. */
    public static Tokenizer create(GgufVocabulary vocabulary) {
        return switch (vocabulary.model()) {
            case "gpt2" -> new BytePairTokenizer(vocabulary);
            case "llama" -> new SentencePieceTokenizer(vocabulary);
            default ->
                throw new MillraceException(
                        "MR-TEXT-003",
                        "The GGUF file's tokenizer model \"" + vocabulary.model()
                                + "\" is not supported (gpt2 and llama are). Use the model's safetensors folder with its"
                                + " tokenizer.json.");
        };
    }
}
