package io.millrace.worker.model.encoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.program.Op;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What the files of sentence-transformers in a model's folder say: {@code modules.json}, {@code 1_Pooling/config.json}, {@code
 * sentence_bert_config.json}.
 *
 * @param present there is a {@code modules.json} or a pooling config
 * @param pooling null: not said
 * @param maxTokens longest input the model is meant for; 0: not said
 */
public record SentenceFiles(boolean present, Op.Pool.@Nullable Kind pooling, int maxTokens) {

    private static final Map<String, Op.Pool.Kind> KINDS = Map.of(
            "cls", Op.Pool.Kind.FIRST,
            "mean", Op.Pool.Kind.MEAN,
            "lasttoken", Op.Pool.Kind.LAST);
    private static final List<String> OTHERS = List.of("max", "mean_sqrt_len", "weightedmean");

    /** A folder without such files. */
    public static final SentenceFiles NONE = new SentenceFiles(false, null, 0);

    /**
     * Reads a folder.
     *
     * @throws MillraceException MR-MODEL-002 when a file cannot be read, MR-MODEL-004 for a module or pooling that is not supported
     */
    public static SentenceFiles of(Path folder) {
        Path modules = folder.resolve("modules.json");
        Path pooling = folder.resolve("1_Pooling/config.json");
        if (!Files.isRegularFile(modules) && !Files.isRegularFile(pooling)) {
            return NONE;
        }
        for (JsonNode module : read(modules)) {
            String type = module.path("type").asString("");
            String name = type.substring(type.lastIndexOf('.') + 1);
            if (!List.of("Transformer", "Pooling", "Normalize").contains(name)) {
                throw unsupported(modules, "the module " + name, "Transformer, Pooling, Normalize");
            }
        }
        int most = read(folder.resolve("sentence_bert_config.json"))
                .path("max_seq_length")
                .asInt(0);
        return new SentenceFiles(true, kind(pooling, read(pooling)), Math.max(0, most));
    }

    private static Op.Pool.@Nullable Kind kind(Path file, JsonNode config) {
        String newer = config.path("pooling_mode").asString("");
        if (!newer.isEmpty()) {
            Op.Pool.Kind kind = KINDS.get(newer);
            if (kind == null) {
                throw unsupported(file, "pooling_mode " + newer, "cls, mean, lasttoken");
            }
            return kind;
        }
        List<Op.Pool.Kind> found = new ArrayList<>();
        KINDS.forEach((name, kind) -> {
            if (on(config, name)) {
                found.add(kind);
            }
        });
        for (String other : OTHERS) {
            if (on(config, other)) {
                throw unsupported(file, "pooling_mode_" + other + "_tokens", "cls, mean, lasttoken");
            }
        }
        if (found.size() > 1) {
            throw unsupported(file, "more than one pooling mode", "one of cls, mean, lasttoken");
        }
        return found.isEmpty() ? null : found.getFirst();
    }

    private static boolean on(JsonNode config, String mode) {
        return config.path("pooling_mode_" + mode + "_tokens").asBoolean(false)
                || config.path("pooling_mode_" + mode + "_token").asBoolean(false)
                || config.path("pooling_mode_" + mode).asBoolean(false);
    }

    private static JsonNode read(Path file) {
        try {
            return Files.isRegularFile(file)
                    ? JsonMapper.shared().readTree(Files.readAllBytes(file))
                    : JsonMapper.shared().createObjectNode();
        } catch (IOException | JacksonException e) {
            throw new MillraceException(
                    "MR-MODEL-002",
                    file + " cannot be read: " + e.getMessage() + ". Get it again from its publisher.",
                    e);
        }
    }

    private static MillraceException unsupported(Path file, String what, String supported) {
        return new MillraceException(
                "MR-MODEL-004", file + ": " + what + " is not supported; supported: " + supported + ".");
    }
}
