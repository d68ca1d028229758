package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.gguf.GgufModelCheck;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.FolderFiles;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/**
 * The opened files of a model: its config, its tensors, and the decoder over them.
 *
 * @param path the .gguf file or the folder
 * @param metadata of a GGUF file; empty for a folder
 */
record ModelFiles(Path path, Map<String, Object> metadata, WeightSource source, Decoder decoder)
        implements AutoCloseable {

    private static final long MAX_JSON_BYTES = 64 << 20;

    /** Opens and checks; coded errors name file and remedy. */
    static ModelFiles open(Path path) {
        return Files.isDirectory(path) ? folder(path) : gguf(path);
    }

    private static ModelFiles gguf(Path path) {
        GgufFile file = GgufFile.openModel(path);
        try {
            GgufModelCheck.validate(file);
            DecoderConfig config = DecoderConfig.fromGguf(path.toString(), file.metadata());
            return new ModelFiles(path, file.metadata(), file, Decoder.of(config, file));
        } catch (RuntimeException e) {
            file.close();
            throw e;
        }
    }

    private static ModelFiles folder(Path path) {
        FolderFiles.checkAll(path);
        Path json = path.resolve("config.json");
        String text = text(json);
        DecoderConfig config = DecoderConfig.fromJson(json.toString(), text);
        WeightSource source = QuantizedSource.open(path, text);
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

    boolean isGguf() {
        return !metadata.isEmpty();
    }

    /** The stored tensors that the decoder uses, each once. */
    private Map<String, WeightTensor> used() {
        Map<String, WeightTensor> used = new HashMap<>();
        for (WeightSlot slot : decoder.slots().values()) {
            used.put(slot.tensor(), source.tensor(slot.tensor()));
        }
        return used;
    }

    /** Number of weights; a tied embedding counts once. */
    long parameters() {
        return used().values().stream().mapToLong(WeightTensor::elements).sum();
    }

    /** Bytes of the weights as stored. */
    long storedBytes() {
        return used().values().stream().mapToLong(WeightTensor::storedBytes).sum();
    }

    /** How most bytes of the weights are kept, for people. */
    String format() {
        return source instanceof QuantizedSource quantized ? quantized.format() : format(used().values());
    }

    /** The type of most bytes. */
    static String format(Collection<WeightTensor> tensors) {
        Map<String, Long> bytes = new HashMap<>();
        tensors.forEach(t -> bytes.merge(t.dtype().name(), t.storedBytes(), Long::sum));
        return bytes.entrySet().stream()
                .max(Map.Entry.<String, Long>comparingByValue().thenComparing(Map.Entry.comparingByKey()))
                .map(Map.Entry::getKey)
                .orElse("none");
    }

    /** The Jinja texts of its chat templates. */
    TemplateSource templates() {
        return isGguf() ? TemplateSource.ofGguf(metadata) : TemplateSource.ofFolder(path);
    }

    /** What it says of sampling. */
    GenerationDefaults generationDefaults() {
        return isGguf() ? GenerationDefaults.ofGguf(path, metadata) : GenerationDefaults.ofFolder(path);
    }

    @Override
    public void close() {
        source.close();
    }
}
