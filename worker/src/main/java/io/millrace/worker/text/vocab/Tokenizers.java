package io.millrace.worker.text.vocab;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;

/** Makes tokenizers from vocabularies. */
public final class Tokenizers {

    private Tokenizers() {}

    /** @throws MillraceException MR-TEXT-002 a broken vocabulary, MR-TEXT-003 a pre-tokenizer that is not known */
    public static Tokenizer create(Vocabulary vocabulary) {
        return switch (vocabulary.kind()) {
            case BYTE_PAIR -> new BytePairTokenizer(vocabulary);
            case SENTENCE_PIECE -> new SentencePieceTokenizer(vocabulary);
            case UNIGRAM -> new UnigramTokenizer(vocabulary);
        };
    }
}
