package io.millrace.worker.backend.mock;

import io.millrace.worker.text.Tokenizer;
import java.nio.charset.StandardCharsets;

/**
 * Text for the mock model: ids 0..255 are bytes, the last id is the control token {@code <|end|>}, all others are words made of
 * the id's digits in letters (id 300 is " wdaa"). Thread-safe.
 */
public final class MockTokenizer implements Tokenizer {

    private static final String END = "<|end|>";
    private static final int BYTES = 256;

    private final int vocabulary;

    /** @param vocabulary at least 258 */
    public MockTokenizer(int vocabulary) {
        if (vocabulary < BYTES + 2) {
            throw new IllegalArgumentException("A mock tokenizer has at least 258 ids, not " + vocabulary + ".");
        }
        this.vocabulary = vocabulary;
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] ids = new int[bytes.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = bytes[i] & 0xFF;
        }
        return ids;
    }

    @Override
    public byte[] bytes(int id) {
        if (id < BYTES) {
            return new byte[] {(byte) id};
        }
        return (id == vocabulary - 1 ? END : word(id)).getBytes(StandardCharsets.UTF_8);
    }

    private static String word(int id) {
        StringBuilder word = new StringBuilder(" w");
        for (char digit : Integer.toString(id).toCharArray()) {
            word.append((char) ('a' + digit - '0'));
        }
        return word.toString();
    }

    @Override
    public boolean isControl(int id) {
        return id == vocabulary - 1;
    }

    @Override
    public boolean dropsFirstSpace() {
        return false;
    }

    @Override
    public int vocabularySize() {
        return vocabulary;
    }

    @Override
    public int id(String token) {
        if (token.equals(END)) {
            return vocabulary - 1;
        }
        for (int id = 0; id < vocabulary; id++) {
            if (token.equals(new String(bytes(id), StandardCharsets.UTF_8))) {
                return id;
            }
        }
        return -1;
    }

    @Override
    public int bosId() {
        return -1;
    }

    @Override
    public int[] eosIds() {
        return new int[] {vocabulary - 1};
    }

    @Override
    public long hash() {
        return 0x6D6F636BL * 31 + vocabulary;
    }
}
