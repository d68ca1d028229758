package io.millrace.worker.text.gguf;

import io.millrace.worker.text.ByteAlphabet;
import io.millrace.worker.text.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;

/**
 * Byte-level BPE, {@code tokenizer.ggml.model} gpt2: added tokens are cut out, the rest is cut into words, a word's bytes are
 * merged. A byte that the vocabulary lacks gives no token. Lone surrogates count as U+FFFD. Thread-safe.
 */
final class BytePairTokenizer implements Tokenizer {

    private final GgufVocabulary vocabulary;
    private final TokenTable table;
    private final PreTokenizer preTokenizer;
    private final byte[][] bytes;
    /** Id of each single byte; -1 where the vocabulary lacks it. */
    private final int[] byteIds = new int[256];

    private final ByteAlphabet alphabet = new ByteAlphabet();
    private final Merger merger;
    private final WordCache cache = new WordCache();
    private final boolean addBos;
    private final boolean addEos;
    private final long hash;

    BytePairTokenizer(GgufVocabulary vocabulary) {
        this.vocabulary = vocabulary;
        this.table = new TokenTable(vocabulary);
        this.preTokenizer = PreTokenizers.byName(vocabulary.pre());
        String[] tokens = vocabulary.tokens();
        this.bytes = new byte[tokens.length][];
        for (int id = 0; id < tokens.length; id++) {
            int type = vocabulary.types()[id];
            bytes[id] = type == TokenType.NORMAL || type == TokenType.BYTE
                    ? alphabet.bytes(tokens[id])
                    : tokens[id].getBytes(StandardCharsets.UTF_8);
        }
        for (int b = 0; b < 256; b++) {
            byteIds[b] = table.id(String.valueOf(alphabet.charOf(b)));
        }
        this.merger = new Merger(ranks());
        Boolean bos = vocabulary.addBos();
        // Files of these families may leave the flag out and mean true.
        this.addBos = vocabulary.bos() >= 0 && (bos != null ? bos : preTokenizer.ignoreMerges());
        this.addEos = vocabulary.eos() >= 0 && Boolean.TRUE.equals(vocabulary.addEos());
        this.hash = table.hash(addBos, addEos);
    }

    private PairRanks ranks() {
        String[] merges = vocabulary.merges();
        if (merges.length == 0) {
            throw GgufVocabulary.broken("a byte-pair vocabulary without merges");
        }
        PairRanks ranks = new PairRanks(merges.length);
        for (int rank = 0; rank < merges.length; rank++) {
            String merge = merges[rank];
            int space = merge.indexOf(' ', 1);
            int left = space < 0 ? -1 : table.id(merge.substring(0, space));
            int right = space < 0 ? -1 : table.id(merge.substring(space + 1));
            int merged = space < 0 ? -1 : table.id(merge.substring(0, space) + merge.substring(space + 1));
            if (left < 0 || right < 0 || merged < 0) {
                throw GgufVocabulary.broken("merge " + rank + " of " + merges.length + " (\"" + merge
                        + "\") does not join two tokens to a third");
            }
            ranks.put(left, right, rank, merged);
        }
        return ranks;
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        IdBuffer out = new IdBuffer(text.length() / 3);
        if (addSpecial && addBos) {
            out.add(vocabulary.bos());
        }
        table.encode(text, parseSpecial, out, this::encodeText);
        if (addSpecial && addEos) {
            out.add(vocabulary.eos());
        }
        return out.toArray();
    }

    private void encodeText(String text, boolean first, IdBuffer out) {
        String normal = preTokenizer.nfc() ? Normalizer.normalize(text, Normalizer.Form.NFC) : text;
        preTokenizer.split(normal, (start, end) -> {
            int[] ids = cache.get(normal, start, end);
            if (ids == null) {
                ids = encodeWord(normal.substring(start, end));
                cache.put(normal, start, end, ids);
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

    /** For tests of the pre-tokenizer. */
    PreTokenizer preTokenizer() {
        return preTokenizer;
    }

    @Override
    public byte[] bytes(int id) {
        return id >= 0 && id < bytes.length ? bytes[id].clone() : new byte[0];
    }

    @Override
    public boolean isControl(int id) {
        return table.isControl(id);
    }

    @Override
    public boolean dropsFirstSpace() {
        return Boolean.TRUE.equals(vocabulary.addSpacePrefix());
    }

    @Override
    public int vocabularySize() {
        return bytes.length;
    }

    @Override
    public int id(String token) {
        return table.id(token);
    }

    @Override
    public int bosId() {
        return vocabulary.bos();
    }

    @Override
    public int[] eosIds() {
        return table.eosIds();
    }

    @Override
    public long hash() {
        return hash;
    }
}
