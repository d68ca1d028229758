package io.millrace.worker.text.vocab;

import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.Utf16;

/**
 * What all tokenizers over a vocabulary do alike: tokens written in the text are cut out (leftmost, then longest), what lies
 * between is encoded, BOS and EOS go around it. Lone surrogates count as U+FFFD. Thread-safe.
 */
abstract sealed class VocabularyTokenizer implements Tokenizer
        permits BytePairTokenizer, SentencePieceTokenizer, UnigramTokenizer {

    private final Vocabulary vocabulary;
    private final TokenTable table;
    private final byte[][] bytes;
    private final boolean addBos;
    private final boolean addEos;
    private final long hash;

    /**
     * @param addBos where the vocabulary does not say it
     * @param addEos where the vocabulary does not say it
     */
    VocabularyTokenizer(Vocabulary vocabulary, TokenTable table, byte[][] bytes, boolean addBos, boolean addEos) {
        Vocabulary.Special special = vocabulary.special();
        this.vocabulary = vocabulary;
        this.table = table;
        this.bytes = bytes;
        this.addBos = special.bos() >= 0 && (special.addBos() != null ? special.addBos() : addBos);
        this.addEos = special.eos() >= 0 && (special.addEos() != null ? special.addEos() : addEos);
        this.hash = table.hash(this.addBos, this.addEos);
    }

    /** Appends the ids of a text without added tokens; it is well-formed and not empty. */
    abstract void encodeText(String text, IdBuffer out);

    @Override
    public final int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        IdBuffer out = new IdBuffer(text.length() / 3);
        if (addSpecial && addBos) {
            out.add(vocabulary.special().bos());
        }
        String wellFormed = Utf16.wellFormed(text);
        int from = 0;
        AddedTokens added = table.added(parseSpecial);
        for (AddedTokens.Match match = added.find(wellFormed, 0); match != null; ) {
            if (match.start() > from) {
                encodeText(wellFormed.substring(from, match.start()), out);
            }
            out.add(match.id());
            from = match.end();
            match = added.find(wellFormed, from);
        }
        if (from < wellFormed.length()) {
            encodeText(wellFormed.substring(from), out);
        }
        if (addSpecial && addEos) {
            out.add(vocabulary.special().eos());
        }
        return out.toArray();
    }

    @Override
    public final byte[] bytes(int id) {
        return id >= 0 && id < bytes.length ? bytes[id].clone() : new byte[0];
    }

    @Override
    public final boolean isControl(int id) {
        return table.isControl(id);
    }

    @Override
    public final int vocabularySize() {
        return bytes.length;
    }

    @Override
    public final int id(String token) {
        return table.id(token);
    }

    @Override
    public final int bosId() {
        return vocabulary.special().bos();
    }

    @Override
    public final int[] eosIds() {
        return table.eosIds();
    }

    @Override
    public final long hash() {
        return hash;
    }
}
