package io.millrace.worker.text.wordpiece;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.PairFrame;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.Utf16;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * WordPiece: each word is cut, from its beginning, into the longest pieces that the vocabulary has; a word that cannot be cut is one
 * unknown token. Schuster and Nakajima (2012); Devlin et al., BERT (2018). Thread-safe.
 */
public final class WordPieceTokenizer implements Tokenizer {

    /** Longer words are unknown. */
    private static final int MAX_WORD = 100;

    private static final String CONTINUED = "##";
    private static final List<String> SPECIAL = List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]");

    private final BasicText basic;
    private final String[] tokens;
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<String, Integer> special = new HashMap<>();
    private final Pattern specialPattern;
    private final int longest;
    private final int unknown;
    private final int cls;
    private final int sep;
    private final long hash;

    /** @param tokens by id, as in {@code vocab.txt}: pieces within a word begin with {@code ##} */
    WordPieceTokenizer(String[] tokens, boolean lowercase, boolean stripAccents) {
        this.basic = new BasicText(lowercase, stripAccents);
        this.tokens = tokens.clone();
        int most = 1;
        for (int id = 0; id < tokens.length; id++) {
            ids.putIfAbsent(tokens[id], id);
            most = Math.max(most, tokens[id].length());
        }
        this.longest = most;
        for (String name : SPECIAL) {
            if (ids.containsKey(name)) {
                special.put(name, id(name));
            }
        }
        this.unknown = required("[UNK]");
        this.cls = required("[CLS]");
        this.sep = required("[SEP]");
        this.specialPattern =
                Pattern.compile(special.keySet().stream().map(Pattern::quote).collect(Collectors.joining("|")));
        this.hash = hash(tokens, lowercase, stripAccents);
    }

    private int required(String token) {
        int id = id(token);
        if (id < 0) {
            throw new MillraceException(
                    "MR-TEXT-007",
                    "The WordPiece vocabulary of " + tokens.length + " tokens has no " + token
                            + ". Get the model's vocabulary again from its publisher.");
        }
        return id;
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        Ids out = new Ids();
        if (addSpecial) {
            out.add(cls);
        }
        String whole = Utf16.wellFormed(text);
        int from = 0;
        if (parseSpecial) {
            Matcher matcher = specialPattern.matcher(whole);
            while (matcher.find()) {
                words(whole.substring(from, matcher.start()), out);
                out.add(id(matcher.group()));
                from = matcher.end();
            }
        }
        words(whole.substring(from), out);
        if (addSpecial) {
            out.add(sep);
        }
        return out.toArray();
    }

    private void words(String text, Ids out) {
        for (String word : basic.words(text)) {
            pieces(word, out);
        }
    }

    private void pieces(String word, Ids out) {
        int mark = out.size();
        if (word.codePointCount(0, word.length()) > MAX_WORD) {
            out.add(unknown);
            return;
        }
        int from = 0;
        while (from < word.length()) {
            String prefix = from == 0 ? "" : CONTINUED;
            int to = Math.min(word.length(), from + longest);
            Integer found = null;
            while (to > from && found == null) {
                found = ids.get(prefix + word.substring(from, to));
                if (found == null) {
                    to = word.offsetByCodePoints(to, -1);
                }
            }
            if (found == null) {
                out.truncate(mark);
                out.add(unknown);
                return;
            }
            out.add(found);
            from = to;
        }
    }

    @Override
    public PairFrame pairFrame() {
        return new PairFrame(new int[] {cls}, new int[] {sep}, new int[] {sep}, true);
    }

    @Override
    public byte[] bytes(int id) {
        if (id < 0 || id >= tokens.length) {
            return new byte[0];
        }
        String token = tokens[id];
        return (token.startsWith(CONTINUED) ? token.substring(CONTINUED.length()) : token)
                .getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public boolean isControl(int id) {
        return special.containsValue(id);
    }

    @Override
    public boolean dropsFirstSpace() {
        return false;
    }

    @Override
    public int vocabularySize() {
        return tokens.length;
    }

    @Override
    public int id(String token) {
        return ids.getOrDefault(token, -1);
    }

    @Override
    public int bosId() {
        return cls;
    }

    @Override
    public int[] eosIds() {
        return new int[] {sep};
    }

    @Override
    public long hash() {
        return hash;
    }

    private static long hash(String[] tokens, boolean lowercase, boolean stripAccents) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update((byte) ((lowercase ? 1 : 0) + (stripAccents ? 2 : 0)));
            for (String token : tokens) {
                digest.update(token.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) '\n');
            }
            return ByteBuffer.wrap(digest.digest()).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }

    /** A growing list of ids. */
    private static final class Ids {
        private int[] values = new int[32];
        private int size;

        void add(int id) {
            if (size == values.length) {
                values = Arrays.copyOf(values, 2 * size);
            }
            values[size++] = id;
        }

        int size() {
            return size;
        }

        void truncate(int to) {
            size = to;
        }

        int[] toArray() {
            return Arrays.copyOf(values, size);
        }
    }
}
