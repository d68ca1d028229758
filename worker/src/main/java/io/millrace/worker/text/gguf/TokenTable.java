package io.millrace.worker.text.gguf;

import io.millrace.worker.text.EndTexts;
import io.millrace.worker.text.Utf16;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** What every GGUF tokenizer has: tokens by id and by text, those that end a text, those recognised in text. Thread-safe. */
final class TokenTable {

    private final GgufVocabulary vocabulary;
    private final Map<String, Integer> ids;
    private final int[] eosIds;
    private final AddedTokens all = new AddedTokens();
    private final AddedTokens userDefined = new AddedTokens();

    TokenTable(GgufVocabulary vocabulary) {
        this.vocabulary = vocabulary;
        String[] tokens = vocabulary.tokens();
        ids = HashMap.newHashMap(tokens.length);
        for (int id = 0; id < tokens.length; id++) {
            ids.putIfAbsent(tokens[id], id);
            int type = vocabulary.types()[id];
            if (type == TokenType.USER_DEFINED) {
                userDefined.add(tokens[id], id);
            }
            if (type == TokenType.USER_DEFINED || type == TokenType.CONTROL || type == TokenType.UNKNOWN) {
                all.add(tokens[id], id);
            }
        }
        eosIds = IntStream.concat(
                        IntStream.of(vocabulary.eos(), vocabulary.eot(), vocabulary.eom()),
                        EndTexts.ALL.stream().mapToInt(this::id).filter(this::isControl))
                .filter(id -> id >= 0)
                .distinct()
                .toArray();
    }

    /** -1 when there is none. */
    int id(String token) {
        return ids.getOrDefault(token, -1);
    }

    /** The unknown token counts as one: it stands for no text. */
    boolean isControl(int id) {
        if (id < 0 || id >= vocabulary.types().length) {
            return false;
        }
        int type = vocabulary.types()[id];
        return type == TokenType.CONTROL || type == TokenType.UNKNOWN;
    }

    int[] eosIds() {
        return eosIds.clone();
    }

    /** Cuts text at the tokens written in it; what lies between goes to {@code encoder}. */
    void encode(String text, boolean parseSpecial, IdBuffer out, TextEncoder encoder) {
        String wellFormed = Utf16.wellFormed(text);
        AddedTokens added = parseSpecial ? all : userDefined;
        int from = 0;
        if (!added.isEmpty()) {
            for (int i = 0; i < wellFormed.length(); ) {
                int[] match = added.match(wellFormed, i);
                if (match == null) {
                    i++;
                    continue;
                }
                if (i > from) {
                    encoder.encode(wellFormed.substring(from, i), from == 0, out);
                }
                out.add(match[1]);
                i += match[0];
                from = i;
            }
        }
        if (from < wellFormed.length()) {
            encoder.encode(wellFormed.substring(from), from == 0, out);
        }
    }

    /** Encodes text without added tokens. */
    @FunctionalInterface
    interface TextEncoder {
        /** @param first whether the whole text begins here */
        void encode(String text, boolean first, IdBuffer out);
    }

    /** Of everything that decides which ids a text has. */
    long hash(boolean addBos, boolean addEos) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part : List.of(vocabulary.model(), vocabulary.pre(), addBos + "/" + addEos)) {
                update(digest, part);
            }
            update(digest, String.valueOf(vocabulary.addSpacePrefix()));
            for (String token : vocabulary.tokens()) {
                update(digest, token);
            }
            for (String merge : vocabulary.merges()) {
                update(digest, merge);
            }
            update(digest, Arrays.toString(vocabulary.types()));
            update(digest, Arrays.toString(vocabulary.scores()));
            return ByteBuffer.wrap(digest.digest()).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }

    private static void update(MessageDigest digest, String text) {
        digest.update(text.getBytes(StandardCharsets.UTF_8));
        digest.update((byte) 0);
    }
}
