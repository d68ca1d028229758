package io.millrace.worker.text.hub;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.vocab.TokenType;
import io.millrace.worker.text.vocab.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads GPT-2's two files: the tokens with their ids, and the merges in their order. */
final class VocabAndMerges {

    private static final String END_OF_TEXT = "<|endoftext|>";

    private VocabAndMerges() {}

    /** @throws MillraceException MR-TEXT-002 a file is damaged, MR-TEXT-003 another class of tokenizer uses them */
    static Vocabulary read(Path vocabularyFile, Path mergesFile, ModelFolder folder) {
        String pre = preTokenizer(vocabularyFile, folder);
        String file = vocabularyFile.toString();
        VocabularyBuilder vocabulary = new VocabularyBuilder();
        for (String token : tokens(vocabularyFile)) {
            vocabulary.add(token, token.equals(END_OF_TEXT) ? TokenType.CONTROL : TokenType.NORMAL, 0);
        }
        vocabulary.apply(file, folder);
        boolean gpt2 = pre.equals("gpt-2");
        int bos = id(vocabulary, folder.token("bos_token"), gpt2 ? END_OF_TEXT : null);
        return vocabulary.build(
                new Vocabulary.Source(file, "its tokens", "its types", "scores", mergesFile.toString()),
                Vocabulary.Kind.BYTE_PAIR,
                pre,
                merges(mergesFile),
                new Vocabulary.Special(
                        bos,
                        id(vocabulary, folder.token("eos_token"), END_OF_TEXT),
                        folder.eos(vocabulary::id),
                        folder.eos(vocabulary::id).length == 0,
                        -1,
                        Boolean.TRUE.equals(folder.flag("add_bos_token")),
                        Boolean.TRUE.equals(folder.flag("add_eos_token"))),
                new Vocabulary.Spaces(Boolean.TRUE.equals(folder.flag("add_prefix_space")), false, false, new byte[0]));
    }

    private static String preTokenizer(Path file, ModelFolder folder) {
        String name = folder.tokenizerClass();
        return switch (name.endsWith("Fast") ? name.substring(0, name.length() - 4) : name) {
            case "Qwen2Tokenizer" -> "qwen2";
            case "GPT2Tokenizer", "CodeGenTokenizer" -> "gpt-2";
            case "" -> folder.modelType().startsWith("qwen") ? "qwen2" : "gpt-2";
            default ->
                throw Vocabulary.unsupported("The tokenizer of " + file + " is a " + name
                        + "; of vocab.json with merges.txt, GPT2Tokenizer, CodeGenTokenizer and Qwen2Tokenizer are"
                        + " supported. Put the model's tokenizer.json beside it.");
        };
    }

    private static String[] tokens(Path file) {
        JsonNode root;
        try {
            root = JsonMapper.shared().readTree(FolderTokenizers.read(file));
        } catch (JacksonException e) {
            throw Vocabulary.broken(file.toString(), "it is not JSON: " + e.getOriginalMessage());
        }
        String[] tokens = new String[root.size()];
        root.properties().forEach(entry -> {
            JsonNode id = entry.getValue();
            if (!id.isInt() || id.intValue() < 0 || id.intValue() >= tokens.length) {
                throw Vocabulary.broken(
                        file.toString(),
                        "the id of \"" + entry.getKey() + "\" is " + id + ", but there are " + tokens.length
                                + " tokens");
            }
            if (tokens[id.intValue()] != null) {
                throw Vocabulary.broken(
                        file.toString(),
                        "\"" + tokens[id.intValue()] + "\" and \"" + entry.getKey() + "\" have the same id, " + id);
            }
            tokens[id.intValue()] = entry.getKey();
        });
        return tokens;
    }

    private static String[] merges(Path file) {
        return new String(FolderTokenizers.read(file), StandardCharsets.UTF_8)
                .lines()
                .filter(line -> !line.startsWith("#version") && !line.isEmpty())
                .toArray(String[]::new);
    }

    private static int id(VocabularyBuilder vocabulary, @Nullable String token, @Nullable String standard) {
        int said = token == null ? -1 : vocabulary.id(token);
        return said >= 0 || standard == null ? said : vocabulary.id(standard);
    }
}
