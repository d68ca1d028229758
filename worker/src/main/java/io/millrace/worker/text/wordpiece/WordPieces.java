package io.millrace.worker.text.wordpiece;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Makes WordPiece tokenizers from the forms that models come in. */
public final class WordPieces {

    /** {@code tokenizer.ggml.model} of a WordPiece vocabulary. */
    public static final String GGUF_MODEL = "bert";

    private static final String SPACE = "\u2581";

    private WordPieces() {}

    /**
     * Of a folder with {@code vocab.txt} and, where the defaults do not hold, {@code tokenizer_config.json}.
     *
     * @throws MillraceException MR-TEXT-007 when they cannot be used
     */
    public static WordPieceTokenizer ofFolder(Path folder) {
        Path file = folder.resolve("vocab.txt");
        try {
            List<String> lines = Files.readAllLines(file);
            Path config = folder.resolve("tokenizer_config.json");
            JsonNode root = Files.isRegularFile(config)
                    ? JsonMapper.shared().readTree(Files.readAllBytes(config))
                    : JsonMapper.shared().createObjectNode();
            boolean lowercase = root.path("do_lower_case").asBoolean(true);
            boolean strip = root.path("strip_accents").asBoolean(lowercase);
            return new WordPieceTokenizer(lines.toArray(String[]::new), lowercase, strip);
        } catch (IOException | JacksonException e) {
            throw broken(file + ": " + e.getMessage());
        }
    }

    /**
     * Of GGUF metadata: pieces that begin a word are marked with U+2581 there, those within are not. Texts are lowered, as the format has
     * no word on it.
     *
     * @throws MillraceException MR-TEXT-007 when there is no vocabulary, or a broken one
     */
    public static WordPieceTokenizer ofGguf(Map<String, ?> metadata) {
        if (!(metadata.get("tokenizer.ggml.tokens") instanceof List<?> list)) {
            throw broken("the GGUF file has no tokenizer.ggml.tokens");
        }
        String[] tokens = new String[list.size()];
        for (int i = 0; i < tokens.length; i++) {
            if (!(list.get(i) instanceof String token)) {
                throw broken("tokenizer.ggml.tokens[" + i + "] is not a string");
            }
            tokens[i] = plain(token);
        }
        return new WordPieceTokenizer(tokens, true, true);
    }

    private static String plain(String token) {
        if (token.startsWith(SPACE)) {
            return token.substring(1);
        }
        boolean special = token.length() > 2 && token.startsWith("[") && token.endsWith("]");
        return special ? token : "##" + token;
    }

    private static MillraceException broken(String what) {
        return new MillraceException(
                "MR-TEXT-007",
                "The WordPiece vocabulary cannot be used: " + what + ". Get it again from the model's publisher.");
    }
}
