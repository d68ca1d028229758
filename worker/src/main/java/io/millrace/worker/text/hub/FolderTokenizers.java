package io.millrace.worker.text.hub;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.vocab.Tokenizers;
import io.millrace.worker.text.vocab.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/**
 * Finds the tokenizer of a model folder: {@code tokenizer.json}, else a sentencepiece file, else {@code vocab.json} with
 * {@code merges.txt}. Of a {@code tokenizer.json} we do the work ourselves where we know its rules, else the native library does.
 */
public final class FolderTokenizers {

    private static final long BYTES_MAX = 256 << 20;
    private static final List<String> SENTENCE_PIECE =
            List.of("tokenizer.model", "spiece.model", "sentencepiece.bpe.model");

    private FolderTokenizers() {}

    /**
     * BOS, EOS and added tokens are taken from the configuration files beside it. A {@link HubTokenizer} must be closed.
     *
     * @throws MillraceException MR-TEXT-002 a broken vocabulary, MR-TEXT-003 a kind that is not supported, MR-TEXT-004 there is
     *     none, MR-TEXT-005 a file that cannot be used
     */
    public static Tokenizer open(Path folder) {
        Path json = folder.resolve("tokenizer.json");
        if (Files.isRegularFile(json)) {
            return json(json, new ModelFolder(folder), false);
        }
        for (String name : SENTENCE_PIECE) {
            Path file = folder.resolve(name);
            if (Files.isRegularFile(file)) {
                return Tokenizers.create(sentencePiece(file, read(file), new ModelFolder(folder)));
            }
        }
        Path vocabulary = folder.resolve("vocab.json");
        Path merges = folder.resolve("merges.txt");
        if (Files.isRegularFile(vocabulary) && Files.isRegularFile(merges)) {
            return Tokenizers.create(VocabAndMerges.read(vocabulary, merges, new ModelFolder(folder)));
        }
        refuseTiktoken(folder);
        throw new MillraceException(
                "MR-TEXT-004",
                "No tokenizer: looked in " + folder + " for tokenizer.json, " + String.join(", ", SENTENCE_PIECE)
                        + ", and vocab.json with merges.txt. Put one of them into the folder, or use a GGUF file, which"
                        + " carries its vocabulary.");
    }

    /** @param library by the native library, also where we could read the file ourselves */
    static Tokenizer json(Path path, ModelFolder folder, boolean library) {
        JsonMapper mapper = JsonMapper.shared();
        byte[] content = read(path);
        TokenizerFile file;
        try {
            file = TokenizerFile.of(path.toString(), mapper.readTree(content));
        } catch (JacksonException e) {
            throw TokenizerFile.broken(path.toString(), "it is not JSON: " + e.getOriginalMessage());
        }
        Vocabulary own = library ? null : JsonVocabulary.of(file, folder);
        return own != null ? Tokenizers.create(own) : HubTokenizer.of(file, mapper, content, folder);
    }

    private static Vocabulary sentencePiece(Path file, byte[] content, ModelFolder folder) {
        if (isTiktoken(content)) {
            throw tiktoken(file);
        }
        return SentencePieceFile.read(file.toString(), content, folder);
    }

    private static void refuseTiktoken(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            files.filter(file -> file.toString().endsWith(".tiktoken") || file.endsWith("tekken.json"))
                    .sorted()
                    .findFirst()
                    .ifPresent(file -> {
                        throw tiktoken(file);
                    });
        } catch (IOException e) {
            throw TokenizerFile.broken(folder.toString(), "the folder cannot be listed: " + e);
        }
    }

    /** A first line of base64 and a rank: Llama 3's own tokenizer.model is of this kind. */
    private static boolean isTiktoken(byte[] content) {
        int i = 0;
        while (i < content.length
                && i < 4096
                && (Character.isLetterOrDigit(content[i]) || "+/=".indexOf(content[i]) >= 0)) {
            i++;
        }
        return i > 0 && i + 1 < content.length && content[i] == ' ' && Character.isDigit(content[i + 1]);
    }

    private static MillraceException tiktoken(Path file) {
        return Vocabulary.unsupported(
                "The tokenizer of " + file + " is in tiktoken's format, which holds no rule for cutting"
                        + " text into words and is not supported. Put the model's tokenizer.json beside it"
                        + " (AutoTokenizer.save_pretrained writes it), or use a GGUF file.");
    }

    static byte[] read(Path file) {
        try {
            if (Files.size(file) > BYTES_MAX) {
                throw TokenizerFile.broken(
                        file.toString(), "it has " + Files.size(file) + " bytes; at most " + BYTES_MAX + " are read");
            }
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw TokenizerFile.broken(file.toString(), "it cannot be read: " + e);
        }
    }
}
