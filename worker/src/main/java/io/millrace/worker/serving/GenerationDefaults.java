package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What a model's own {@code generation_config.json} says about sampling; it counts where a request is silent.
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
                    root.path("temperature").asDouble(1),
                    root.path("top_k").asInt(0),
                    root.path("top_p").asDouble(1),
                    root.path("min_p").asDouble(0),
                    root.path("typical_p").asDouble(1),
                    root.path("repetition_penalty").asDouble(1));
            read.check(file);
            return read;
        } catch (IOException | JacksonException e) {
            throw new MillraceException(
                    "MR-SERVE-001", file + " cannot be read: " + e.getMessage() + ". Repair or remove it.", e);
        }
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
