package io.millrace.worker.serving;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.hub.ResolvedModel;

/**
 * What a model is and needs, read from its headers: nothing is loaded.
 *
 * @param architecture as in "llama"
 * @param parameters number of weights
 * @param bitsPerWeight as stored
 * @param contextLength most tokens the model is made for
 * @param storedBytes of the weights in their files
 * @param loadedBytes of the weights in memory (float32)
 * @param kvBytesPerToken of the cache, float32
 * @param kvBytes of the whole cache at these options
 * @param maxModelLen most tokens of prompt and output together at these options
 */
public record ModelInfo(
        String name,
        String path,
        String architecture,
        long parameters,
        double bitsPerWeight,
        int layers,
        int contextLength,
        long storedBytes,
        long loadedBytes,
        long kvBytesPerToken,
        long kvBytes,
        int maxModelLen) {

    /** Reads the headers; coded errors as of loading. */
    public static ModelInfo describe(ResolvedModel model, ModelOptions options) {
        try (ModelFiles files = ModelFiles.open(model.path())) {
            DecoderConfig config = files.decoder().config();
            KvBudget budget = KvBudget.of(config, options);
            long parameters = files.parameters();
            return new ModelInfo(
                    model.name(),
                    model.path().toString(),
                    config.architecture(),
                    parameters,
                    8.0 * files.storedBytes() / Math.max(1, parameters),
                    config.layers(),
                    config.contextLength(),
                    files.storedBytes(),
                    files.decoder().floatBytes(),
                    budget.bytesPerToken(),
                    budget.memoryBytes(),
                    budget.maxModelLen());
        }
    }

    /** One line for a person. */
    public String line() {
        return String.format(
                java.util.Locale.ROOT,
                "%s: %s, %,.0f M parameters at %.1f bits, %d layers, context %,d; weights %,d MiB (stored %,d), KV %,d MiB"
                        + " (%,d bytes a token)",
                name,
                architecture,
                parameters / 1e6,
                bitsPerWeight,
                layers,
                contextLength,
                loadedBytes >> 20,
                storedBytes >> 20,
                kvBytes >> 20,
                kvBytesPerToken);
    }
}
