package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What a model's own {@code generation_config.json}, or GGUF file, says about sampling; it counts where a request is silent.
 *
 * @param temperature 1 when the model does not say
 * @param topK 0 is off
 * @param topP 1 is off
 * @param minP 0 is off
 * @param typicalP 1 is off
 * @param repetitionPenalty 1 is off
 */
public record GenerationDefaults(
        double temperature, int topK, double topP, double minP, double typicalP, double repetitionPenalty) {

    /** Of a model that says nothing. */
    public static final GenerationDefaults NONE = new GenerationDefaults(1, 0, 1, 0, 1, 1);

    /**
     * Reads {@code generation_config.json} of a folder; {@link #NONE} when there is none. MR-SERVE-001 when it cannot be read or
     * holds a value out of range.
     */
    public static GenerationDefaults ofFolder(Path folder) {
        Path file = folder.resolve("generation_config.json");
        if (!Files.isRegularFile(file)) {
            return NONE;
        }
        try {
            JsonNode root = JsonMapper.shared().readTree(Files.readAllBytes(file));
            GenerationDefaults read = new GenerationDefaults(
                    number(file, root, "temperature", 1),
                    (int) number(file, root, "top_k", 0),
                    number(file, root, "top_p", 1),
                    number(file, root, "min_p", 0),
                    number(file, root, "typical_p", 1),
                    number(file, root, "repetition_penalty", 1));
            read.check(file);
            return read;
        } catch (IOException | JacksonException e) {
            throw new MillraceException(
                    "MR-SERVE-001", file + " cannot be read: " + e.getMessage() + ". Repair or remove it.", e);
        }
    }

    private static double number(Path file, JsonNode root, String key, double absent) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return absent;
        }
        if (!node.isNumber()) {
            throw new MillraceException(
                    "MR-SERVE-001", file + ": " + key + " is not a number. Correct or remove the file.");
        }
        return node.doubleValue();
    }

    /** Reads the {@code general.sampling} keys of a GGUF file's metadata. MR-SERVE-001 when a value is out of range. */
    static GenerationDefaults ofGguf(Path file, Map<String, Object> metadata) {
        GenerationDefaults read = new GenerationDefaults(
                number(metadata, "temp", 1),
                (int) number(metadata, "top_k", 0),
                number(metadata, "top_p", 1),
                number(metadata, "min_p", 0),
                1,
                number(metadata, "penalty_repeat", 1));
        read.check(file);
        return read;
    }

    private static double number(Map<String, Object> metadata, String key, double absent) {
        return metadata.get("general.sampling." + key) instanceof Number number ? number.doubleValue() : absent;
    }

    private void check(Path file) {
        boolean sound = temperature >= 0
                && temperature <= 100
                && topK >= 0
                && topP > 0
                && topP <= 1
                && minP >= 0
                && minP <= 1
                && typicalP > 0
                && typicalP <= 1
                && repetitionPenalty > 0
                && repetitionPenalty <= 100;
        if (!sound) {
            throw new MillraceException(
                    "MR-SERVE-001", file + " holds a value out of range: " + this + ". Correct or remove the file.");
        }
    }
}
