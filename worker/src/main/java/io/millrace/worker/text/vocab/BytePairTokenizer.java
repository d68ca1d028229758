package io.millrace.worker.text.vocab;

import io.millrace.worker.text.ByteAlphabet;
import io.millrace.worker.text.PieceBytes;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;

/**
 * Byte-level BPE: text is cut into words, a word's bytes are merged. A byte that the vocabulary lacks gives no token.
 * Thread-safe.
 */
final class BytePairTokenizer extends VocabularyTokenizer {

    private final TokenTable table;
    private final PreTokenizer preTokenizer;
    /** Id of each single byte; -1 where the vocabulary lacks it. */
    private final int[] byteIds = new int[256];

    private final ByteAlphabet alphabet;
    private final Merger merger;
    private final WordCache cache = new WordCache();
    private final boolean addPrefix;

    BytePairTokenizer(Vocabulary vocabulary) {
        this(vocabulary, new TokenTable(vocabulary), PreTokenizers.of(vocabulary), new ByteAlphabet());
    }

    private BytePairTokenizer(
            Vocabulary vocabulary, TokenTable table, PreTokenizer preTokenizer, ByteAlphabet alphabet) {
        // Files of some families leave the flag out and mean true.
        super(vocabulary, table, table.bytes(alphabet::bytes, PieceBytes::plain), preTokenizer.addsBos(), false);
        this.table = table;
        this.preTokenizer = preTokenizer;
        this.alphabet = alphabet;
        for (int b = 0; b < 256; b++) {
            byteIds[b] = table.id(String.valueOf(alphabet.charOf(b)));
        }
        this.merger = new Merger(MergeList.of(vocabulary, table));
        this.addPrefix = Boolean.TRUE.equals(vocabulary.spaces().addPrefix());
    }

    @Override
    void encodeText(String text, IdBuffer out) {
        String normal = preTokenizer.nfc() ? Normalizer.normalize(text, Normalizer.Form.NFC) : text;
        String spaced = addPrefix && !Character.isWhitespace(normal.charAt(0)) ? " " + normal : normal;
        preTokenizer.split(spaced, (start, end) -> {
            int[] ids = cache.get(spaced, start, end);
            if (ids == null) {
                ids = encodeWord(spaced.substring(start, end));
                cache.put(spaced, start, end, ids);
            }
            out.addAll(ids);
        });
    }

    private int[] encodeWord(String word) {
        byte[] utf8 = word.getBytes(StandardCharsets.UTF_8);
        if (preTokenizer.ignoreMerges()) {
            int whole = wholeWord(utf8);
            if (whole >= 0) {
                return new int[] {whole};
            }
        }
        int[] ids = new int[utf8.length];
        int n = 0;
        for (byte b : utf8) {
            int id = byteIds[b & 0xFF];
            if (id >= 0) {
                ids[n++] = id;
            }
        }
        return merger.merge(ids, n);
    }

    private int wholeWord(byte[] utf8) {
        char[] chars = new char[utf8.length];
        for (int i = 0; i < chars.length; i++) {
            chars[i] = alphabet.charOf(utf8[i] & 0xFF);
        }
        return table.id(new String(chars));
    }

    @Override
    public boolean dropsFirstSpace() {
        return addPrefix;
    }
}
