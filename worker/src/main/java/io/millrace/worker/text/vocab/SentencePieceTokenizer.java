package io.millrace.worker.text.vocab;

import io.millrace.worker.text.PieceBytes;

/**
 * Sentencepiece BPE: spaces are U+2581, characters merge by score, or in the order of a list where the file has one, a character that the vocabulary lacks becomes its bytes, or
 * the unknown token where those are missing too. Thread-safe.
 */
final class SentencePieceTokenizer extends VocabularyTokenizer {

    private final Vocabulary vocabulary;
    private final TokenTable table;
    private final SpaceNormalizer normalizer;
    private final ByteFallback fallback;
    private final Merger merger;
    private final boolean byWords;
    private final WordCache cache = new WordCache();

    SentencePieceTokenizer(Vocabulary vocabulary) {
        this(vocabulary, new TokenTable(vocabulary));
    }

    private SentencePieceTokenizer(Vocabulary vocabulary, TokenTable table) {
        // Files without the flags mean a BOS and no EOS, as the original Llama.
        super(vocabulary, table, table.bytes(PieceBytes::of, PieceBytes::spaced), true, false);
        this.vocabulary = vocabulary;
        this.table = table;
        this.normalizer = new SpaceNormalizer(vocabulary);
        this.fallback = new ByteFallback(vocabulary, table);
        this.merger = new Merger(
                vocabulary.merges().length > 0 ? MergeList.of(vocabulary, table) : PieceMerges.of(vocabulary, table));
        this.byWords = SpaceWords.areIndependent(vocabulary);
    }

    @Override
    void encodeText(String text, IdBuffer out) {
        String normal = normalizer.normalize(text);
        boolean lastUnknown = false;
        for (int start = 0; start < normal.length(); ) {
            int end = byWords ? SpaceWords.end(normal, start) : normal.length();
            int[] known = cache.get(normal, start, end);
            if (known != null) {
                out.addAll(known);
                lastUnknown = false;
            } else {
                lastUnknown = encodeWord(normal, start, end, lastUnknown, out);
            }
            start = end;
        }
    }

    /** Whether its last character was unknown. */
    private boolean encodeWord(String text, int start, int end, boolean lastUnknown, IdBuffer out) {
        int[] characters = text.substring(start, end).codePoints().toArray();
        int lacking = vocabulary.tokens().length;
        int[] ids = new int[characters.length];
        int lackingCount = 0;
        for (int i = 0; i < ids.length; i++) {
            int id = table.id(Character.toString(characters[i]));
            if (id < 0 || !PieceMerges.isPiece(vocabulary, id)) {
                // Those before have been read.
                characters[lackingCount++] = characters[i];
                id = lacking;
            }
            ids[i] = id;
        }
        int[] merged = merger.merge(ids, ids.length);
        if (lackingCount == 0) {
            cache.put(text, start, end, merged);
            out.addAll(merged);
            return false;
        }
        int lackingAt = 0;
        boolean unknown = lastUnknown;
        for (int id : merged) {
            if (id != lacking) {
                out.add(id);
                unknown = false;
            } else {
                unknown = fallback.encode(Character.toString(characters[lackingAt++]), unknown, out);
            }
        }
        return unknown;
    }

    @Override
    public boolean dropsFirstSpace() {
        return normalizer.addsPrefix();
    }
}
