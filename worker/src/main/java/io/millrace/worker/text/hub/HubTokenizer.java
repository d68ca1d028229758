package io.millrace.worker.text.hub;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.PairFrame;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.Utf16;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * The tokenizer of a model folder: encoding by Hugging Face's library (DJL, native, no network), bytes of the tokens from the
 * file itself. Holds native memory until closed. Thread-safe.
 */
public final class HubTokenizer implements Tokenizer, AutoCloseable {

    /** Without these DJL cuts at 512 tokens. */
    private static final Map<String, String> WHOLE_TEXT = Map.of("truncation", "false", "padding", "false");

    private static final int RUN_MAX = 1_000_000;

    private final JsonMapper mapper;
    private final TokenizerFile file;
    private final HuggingFaceTokenizer tokenizer;
    /** What goes before and after a text. */
    private final int[] before;

    private final int[] after;
    private final int bosId;
    private final int[] eosIds;
    private final long hash;
    /** Made when first needed: control tokens are text there. */
    private @Nullable HuggingFaceTokenizer plain;

    private HubTokenizer(
            JsonMapper mapper, byte[] content, TokenizerFile file, HuggingFaceTokenizer tokenizer, ModelFolder folder) {
        this.mapper = mapper;
        this.file = file;
        this.tokenizer = tokenizer;
        this.bosId = folder.bos(file::id);
        this.eosIds = folder.eos(file::id);
        if (folder.saysWhatToAdd()) {
            this.before = added(folder, "bos_token");
            this.after = added(folder, "eos_token");
        } else {
            int[] one = ids(tokenizer, "a", true);
            int[] empty = ids(tokenizer, "", true);
            int bare = ids(tokenizer, "a", false).length;
            int leading = 0;
            while (leading < empty.length && leading < one.length - bare && empty[leading] == one[leading]) {
                leading++;
            }
            this.before = Arrays.copyOf(one, leading);
            this.after = Arrays.copyOfRange(one, leading + bare, one.length);
        }
        this.hash = hash(content, before, after);
    }

    private int[] added(ModelFolder folder, String field) {
        String token = folder.adds(false, field, file::id) ? folder.token(field) : null;
        return token == null ? new int[0] : new int[] {file.id(token)};
    }

    /** @throws MillraceException MR-TEXT-005 it cannot be used */
    static HubTokenizer of(TokenizerFile file, JsonMapper mapper, byte[] content, ModelFolder folder) {
        HuggingFaceTokenizer tokenizer = create(file.path(), content);
        try {
            return new HubTokenizer(mapper, content, file, tokenizer, folder);
        } catch (RuntimeException e) {
            tokenizer.close();
            throw e;
        }
    }

    private static HuggingFaceTokenizer create(String path, byte[] content) {
        try {
            return HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(content), WHOLE_TEXT);
        } catch (RuntimeException | IOException e) {
            throw TokenizerFile.broken(path, "Hugging Face's library refuses it: " + e.getMessage());
        }
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        checkRuns(text);
        int[] ids = ids(parseSpecial ? tokenizer : plain(), Utf16.wellFormed(text), false);
        if (!addSpecial || before.length + after.length == 0) {
            return ids;
        }
        int[] all = new int[before.length + ids.length + after.length];
        System.arraycopy(before, 0, all, 0, before.length);
        System.arraycopy(ids, 0, all, before.length, ids.length);
        System.arraycopy(after, 0, all, before.length + ids.length, after.length);
        return all;
    }

    /**
     * The library's regular expressions give up after ten million steps back, and it then takes the whole process down. So long a
     * way back they have only within a run of white space, or of anything else.
     */
    private static void checkRuns(String text) {
        if (text.length() <= RUN_MAX) {
            return;
        }
        int start = 0;
        boolean space = false;
        for (int i = 0; i < text.length(); i++) {
            boolean now = Character.isWhitespace(text.charAt(i)) || Character.isSpaceChar(text.charAt(i));
            if (now != space) {
                start = i;
                space = now;
            } else if (i - start >= RUN_MAX) {
                throw new MillraceException(
                        "MR-TEXT-006",
                        "The text has more than " + RUN_MAX + " characters " + (now ? "of" : "without")
                                + " white space in one run, from character " + start
                                + " on; this model's tokenizer takes no more. Break the run.");
            }
        }
    }

    private static int[] ids(HuggingFaceTokenizer tokenizer, String text, boolean addSpecial) {
        long[] longs = tokenizer.encode(text, addSpecial, false).getIds();
        int[] ids = new int[longs.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (int) longs[i];
        }
        return ids;
    }

    /** Learned from a pair of one letter each. */
    @Override
    public @Nullable PairFrame pairFrame() {
        Encoding pair = tokenizer.encode("a", "b", true, false);
        long[] ids = pair.getIds();
        long[] sequences = pair.getSequenceIds();
        long[] special = pair.getSpecialTokenMask();
        int[][] parts = new int[3][0];
        int part = 0;
        boolean segments = false;
        for (int i = 0; i < ids.length; i++) {
            if (special[i] == 0) {
                part = sequences[i] == 0 ? 1 : 2;
            } else {
                parts[part] = Arrays.copyOf(parts[part], parts[part].length + 1);
                parts[part][parts[part].length - 1] = (int) ids[i];
            }
            segments |= pair.getTypeIds()[i] == 1;
        }
        return part == 2 ? new PairFrame(parts[0], parts[1], parts[2], segments) : null;
    }

    private synchronized HuggingFaceTokenizer plain() {
        if (plain == null) {
            plain = create(file.path(), file.withoutControlTokens(mapper).getBytes(StandardCharsets.UTF_8));
        }
        return plain;
    }

    @Override
    public byte[] bytes(int id) {
        return file.bytes(id);
    }

    @Override
    public boolean isControl(int id) {
        return file.isControl(id);
    }

    @Override
    public boolean dropsFirstSpace() {
        return file.dropsFirstSpace();
    }

    @Override
    public int vocabularySize() {
        return file.size();
    }

    @Override
    public int id(String token) {
        return file.id(token);
    }

    @Override
    public int bosId() {
        return bosId;
    }

    @Override
    public int[] eosIds() {
        return eosIds.clone();
    }

    @Override
    public long hash() {
        return hash;
    }

    @Override
    public synchronized void close() {
        tokenizer.close();
        if (plain != null) {
            plain.close();
            plain = null;
        }
    }

    private static long hash(byte[] content, int[] before, int[] after) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update((Arrays.toString(before) + Arrays.toString(after)).getBytes(StandardCharsets.UTF_8));
            return ByteBuffer.wrap(digest.digest(content)).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }
}
