package io.millrace.worker.text.vocab;

import io.millrace.worker.text.EndTexts;
import io.millrace.worker.text.PieceBytes;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What every vocabulary has: tokens by id and by text, those that end a text, those recognised in text. Thread-safe. */
final class TokenTable {

    private final Vocabulary vocabulary;
    private final Map<String, Integer> ids;
    private final int[] eosIds;
    private final AddedTokens all = new AddedTokens();
    private final AddedTokens userDefined = new AddedTokens();

    TokenTable(Vocabulary vocabulary) {
        this.vocabulary = vocabulary;
        this.ids = vocabulary.checkedIds();
        String[] tokens = vocabulary.tokens();
        for (int id = 0; id < tokens.length; id++) {
            int type = vocabulary.types()[id];
            Vocabulary.AddedRule rule = vocabulary.added().get(id);
            if (type == TokenType.USER_DEFINED) {
                userDefined.add(tokens[id], id, rule);
            }
            if (type == TokenType.USER_DEFINED || type == TokenType.CONTROL || type == TokenType.UNKNOWN) {
                all.add(tokens[id], id, rule);
            }
        }
        Vocabulary.Special special = vocabulary.special();
        eosIds = Stream.of(
                        IntStream.of(special.eos()),
                        IntStream.of(special.ends()),
                        (special.endsByText() ? EndTexts.among(token -> id(token) >= 0) : List.<String>of())
                                .stream().mapToInt(this::id).filter(this::isControl))
                .flatMapToInt(some -> some)
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

    /** Tokens to find in texts; without {@code parseSpecial} control tokens are ordinary text. */
    AddedTokens added(boolean parseSpecial) {
        return parseSpecial ? all : userDefined;
    }

    /** What each token stands for: normal and byte tokens as {@code spelled} says, user-defined ones as {@code added} does, the others their own text. */
    byte[][] bytes(Function<String, byte[]> spelled, Function<String, byte[]> added) {
        String[] tokens = vocabulary.tokens();
        byte[][] bytes = new byte[tokens.length][];
        for (int id = 0; id < tokens.length; id++) {
            int type = vocabulary.types()[id];
            bytes[id] = switch (type) {
                case TokenType.NORMAL, TokenType.BYTE -> spelled.apply(tokens[id]);
                case TokenType.USER_DEFINED -> added.apply(tokens[id]);
                default -> PieceBytes.plain(tokens[id]);
            };
        }
        return bytes;
    }

    /** Of everything that decides which ids a text has. */
    long hash(boolean addBos, boolean addEos) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part :
                    List.of(vocabulary.kind().name(), vocabulary.cutting().toString(), addBos + "/" + addEos)) {
                update(digest, part);
            }
            Vocabulary.Spaces spaces = vocabulary.spaces();
            update(digest, spaces.addPrefix() + "/" + spaces.removeExtra() + "/" + spaces.asSuffix());
            digest.update(spaces.charsMap());
            update(digest, new TreeMap<>(vocabulary.added()).toString());
            update(digest, vocabulary.tokens());
            update(digest, vocabulary.merges());
            update(digest, Arrays.toString(vocabulary.types()));
            update(digest, Arrays.toString(vocabulary.scores()));
            return ByteBuffer.wrap(digest.digest()).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }

    /** Many texts at once: a digest is slow to take little. */
    private static void update(MessageDigest digest, String[] texts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream(16 * texts.length);
        for (String text : texts) {
            all.writeBytes(text.getBytes(StandardCharsets.UTF_8));
            all.write(0);
        }
        digest.update(all.toByteArray());
    }

    private static void update(MessageDigest digest, String text) {
        digest.update(text.getBytes(StandardCharsets.UTF_8));
        digest.update((byte) 0);
    }
}
