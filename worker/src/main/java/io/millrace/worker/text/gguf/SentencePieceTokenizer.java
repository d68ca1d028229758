package io.millrace.worker.text.gguf;

import io.millrace.worker.text.PieceBytes;
import io.millrace.worker.text.Tokenizer;
import java.nio.charset.StandardCharsets;

/**
 * Sentencepiece BPE, {@code tokenizer.ggml.model} llama: spaces are U+2581, characters merge by score, a character that the
 * vocabulary lacks becomes its bytes, or the unknown token where those are missing too. Lone surrogates count as U+FFFD.
 * Thread-safe.
 */
final class SentencePieceTokenizer implements Tokenizer {

    private final GgufVocabulary vocabulary;
    private final TokenTable table;
    private final byte[][] bytes;
    private final int[] byteIds = new int[256];
    private final Merger merger;
    private final boolean addBos;
    private final boolean addEos;
    private final boolean addSpacePrefix;
    private final long hash;

    SentencePieceTokenizer(GgufVocabulary vocabulary) {
        this.vocabulary = vocabulary;
        this.table = new TokenTable(vocabulary);
        this.merger = new Merger(PieceMerges.of(vocabulary, table));
        String[] tokens = vocabulary.tokens();
        this.bytes = new byte[tokens.length][];
        for (int id = 0; id < tokens.length; id++) {
            int type = vocabulary.types()[id];
            bytes[id] = type == TokenType.NORMAL || type == TokenType.BYTE
                    ? PieceBytes.of(tokens[id])
                    : tokens[id].getBytes(StandardCharsets.UTF_8);
        }
        for (int b = 0; b < 256; b++) {
            byteIds[b] = table.id("<0x%02X>".formatted(b));
        }
        // Files without the flags mean true, as the original Llama.
        this.addBos = vocabulary.bos() >= 0 && !Boolean.FALSE.equals(vocabulary.addBos());
        this.addEos = vocabulary.eos() >= 0 && Boolean.TRUE.equals(vocabulary.addEos());
        this.addSpacePrefix = !Boolean.FALSE.equals(vocabulary.addSpacePrefix());
        this.hash = table.hash(addBos, addEos);
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
        String pieces = (addSpacePrefix ? "\u2581" : "") + text.replace(' ', '\u2581');
        int[] characters = pieces.codePoints().toArray();
        int lacking = vocabulary.tokens().length;
        int[] ids = new int[characters.length];
        int[] lackingCharacters = new int[characters.length];
        int lackingCount = 0;
        for (int i = 0; i < characters.length; i++) {
            int id = table.id(Character.toString(characters[i]));
            if (id < 0 || !PieceMerges.isPiece(vocabulary, id)) {
                lackingCharacters[lackingCount++] = characters[i];
                id = lacking;
            }
            ids[i] = id;
        }
        int lackingAt = 0;
        boolean lastUnknown = false;
        for (int id : merger.merge(ids, ids.length)) {
            if (id != lacking) {
                out.add(id);
                lastUnknown = false;
            } else {
                lastUnknown = fallBack(lackingCharacters[lackingAt++], lastUnknown, out);
            }
        }
    }

    /** A character as bytes, else as the unknown token, one for a run of them; whether it was unknown. */
    private boolean fallBack(int character, boolean lastUnknown, IdBuffer out) {
        byte[] utf8 = Character.toString(character).getBytes(StandardCharsets.UTF_8);
        for (byte b : utf8) {
            if (byteIds[b & 0xFF] < 0) {
                if (!lastUnknown && vocabulary.unknown() >= 0) {
                    out.add(vocabulary.unknown());
                }
                return true;
            }
        }
        for (byte b : utf8) {
            out.add(byteIds[b & 0xFF]);
        }
        return false;
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
        return addSpacePrefix;
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
