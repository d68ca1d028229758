package io.millrace.worker.text.hub;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.Utf16;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The tokenizer of a model folder: encoding by Hugging Face's library (DJL, native, no network), bytes of the tokens from the
 * file itself. Holds native memory until closed. Thread-safe.
 */
public final class HubTokenizer implements Tokenizer, AutoCloseable {

    /** Without these DJL cuts at 512 tokens. */
    private static final Map<String, String> WHOLE_TEXT = Map.of("truncation", "false", "padding", "false");

    private final JsonMapper mapper;
    private final TokenizerFile file;
    private final HuggingFaceTokenizer tokenizer;
    private final int bosId;
    private final int[] eosIds;
    private final long hash;
    /** Made when first needed: control tokens are text there. */
    private @Nullable HuggingFaceTokenizer plain;

    private HubTokenizer(
            JsonMapper mapper,
            byte[] content,
            TokenizerFile file,
            HuggingFaceTokenizer tokenizer,
            int bosId,
            int[] eosIds) {
        this.mapper = mapper;
        this.file = file;
        this.tokenizer = tokenizer;
        this.bosId = bosId;
        this.eosIds = eosIds;
        this.hash = hash(content);
    }

    /**
     * @param folder with {@code tokenizer.json}; BOS and EOS are taken from the configuration files beside it
     * @throws MillraceException MR-TEXT-004 there is none, MR-TEXT-005 it cannot be used
     */
    public static HubTokenizer open(Path folder) {
        Path path = folder.resolve("tokenizer.json");
        if (!Files.isRegularFile(path)) {
            throw new MillraceException(
                    "MR-TEXT-004",
                    "No tokenizer: looked for " + path + ". "
                            + (Files.exists(folder.resolve("tokenizer.model"))
                                    ? "tokenizer.model is there but is not read; convert it (AutoTokenizer.save_pretrained"
                                            + " writes tokenizer.json)."
                                    : "Put the model's tokenizer.json into the folder, or use a GGUF file, which carries"
                                            + " its vocabulary."));
        }
        JsonMapper mapper = JsonMapper.builder().build();
        try {
            byte[] content = Files.readAllBytes(path);
            if (!(mapper.readTree(content) instanceof ObjectNode root)) {
                throw TokenizerFile.broken(path + " is not a JSON object");
            }
            TokenizerFile file = new TokenizerFile(root);
            ModelFolder configuration = new ModelFolder(folder, mapper);
            int bos = configuration.bos(file);
            int[] eos = configuration.eos(file);
            return new HubTokenizer(mapper, content, file, create(content), bos, eos);
        } catch (IOException | JacksonException e) {
            throw TokenizerFile.broken(path + ": " + e.getMessage());
        }
    }

    private static HuggingFaceTokenizer create(byte[] content) throws IOException {
        try {
            return HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(content), WHOLE_TEXT);
        } catch (RuntimeException e) {
            throw TokenizerFile.broken("Hugging Face's library refuses it: " + e.getMessage());
        }
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        String wellFormed = Utf16.wellFormed(text);
        if (parseSpecial) {
            return ids(tokenizer, wellFormed, addSpecial);
        }
        int[] ids = ids(plain(), wellFormed, false);
        return addSpecial ? surround(ids) : ids;
    }

    /** The special tokens that the post-processor puts before and after, around ids. */
    private int[] surround(int[] ids) {
        int[] empty = ids(tokenizer, "", true);
        int[] one = ids(tokenizer, "a", true);
        int[] bare = ids(tokenizer, "a", false);
        int before = 0;
        while (before < empty.length && before < one.length && empty[before] == one[before]) {
            before++;
        }
        int after = one.length - bare.length - before;
        int[] all = new int[before + ids.length + after];
        System.arraycopy(one, 0, all, 0, before);
        System.arraycopy(ids, 0, all, before, ids.length);
        System.arraycopy(one, one.length - after, all, before + ids.length, after);
        return all;
    }

    private static int[] ids(HuggingFaceTokenizer tokenizer, String text, boolean addSpecial) {
        long[] longs = tokenizer.encode(text, addSpecial, false).getIds();
        int[] ids = new int[longs.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (int) longs[i];
        }
        return ids;
    }

    private synchronized HuggingFaceTokenizer plain() {
        if (plain == null) {
            try {
                plain = create(file.withoutControlTokens(mapper).getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw TokenizerFile.broken(String.valueOf(e.getMessage()));
            }
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

    private static long hash(byte[] content) {
        try {
            return ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(content))
                    .getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }
}
