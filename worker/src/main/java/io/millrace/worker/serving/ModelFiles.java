package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * The opened files of a model that generates: its config, its tensors, and the decoder over them.
 *
 * @param path the .gguf file or the folder
 * @param metadata of a GGUF file; empty for a folder
 */
record ModelFiles(Path path, Map<String, Object> metadata, WeightSource source, Decoder decoder) implements OpenModel {

    private static final long MAX_JSON_BYTES = 64 << 20;

    static ModelFiles gguf(Path path, GgufFile file) {
        DecoderConfig config = DecoderConfig.fromGguf(path.toString(), file.metadata());
        return new ModelFiles(path, file.metadata(), file, Decoder.of(config, file));
    }

    static ModelFiles folder(Path path, String json) {
        DecoderConfig config =
                DecoderConfig.fromJson(path.resolve("config.json").toString(), json);
        WeightSource source = QuantizedSource.open(path, json);
        try {
            return new ModelFiles(path, Map.of(), source, Decoder.of(config, source));
        } catch (RuntimeException e) {
            source.close();
            throw e;
        }
    }

    /** A small text file of a model; MR-SERVE-005 when it cannot be read. */
    static String text(Path file) {
        try {
            if (Files.size(file) > MAX_JSON_BYTES) {
                throw new MillraceException(
                        "MR-SERVE-005",
                        file + " has " + Files.size(file) + " bytes, more than " + MAX_JSON_BYTES
                                + ". It is not what its name says; fetch the model again.");
            }
            return Files.readString(file);
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-SERVE-005", file + " cannot be read: " + e + ". Fetch the model again, whole.", e);
        }
    }

    @Override
    public Map<String, WeightSlot> slots() {
        return decoder.slots();
    }

    /** The Jinja texts of its chat templates. */
    TemplateSource templates() {
        return isGguf() ? TemplateSource.ofGguf(metadata) : TemplateSource.ofFolder(path);
    }

    /** What it says of sampling. */
    GenerationDefaults generationDefaults() {
        return isGguf() ? GenerationDefaults.ofGguf(path, metadata) : GenerationDefaults.ofFolder(path);
    }
}
