package io.millrace.worker.text;

import org.jspecify.annotations.Nullable;

/** Text to ids and back, of one model. Thread-safe. */
public interface Tokenizer {

    /**
     * Ids of a text.
     *
     * @param addSpecial BOS and EOS as the model adds them
     * @param parseSpecial control tokens written in the text are recognised
     */
    int[] encode(String text, boolean addSpecial, boolean parseSpecial);

    /**
     * Bytes the token stands for: a byte-level token for the bytes its characters map to; a sentencepiece token for its text with
     * U+2581 as a space; {@code <0xNN>} for that byte; control, user-defined and unknown tokens for their own text. None for an
     * id that the vocabulary does not have (models pad their output layer).
     */
    byte[] bytes(int id);

    /** Control token: gives no text when special tokens are skipped. */
    boolean isControl(int id);

    /** Whether one space at the very beginning of the visible text is dropped. */
    boolean dropsFirstSpace();

    int vocabularySize();

    /** Id of a token by its text; -1 when there is none. */
    int id(String token);

    /** -1 when the model has none. */
    int bosId();

    /** Ids that end a text; may be empty. */
    int[] eosIds();

    /** What stands around the texts of a pair; null: the tokenizer has no form for pairs. */
    default @Nullable PairFrame pairFrame() {
        return null;
    }

    /** 64-bit hash of the vocabulary and rules. */
    long hash();
}
