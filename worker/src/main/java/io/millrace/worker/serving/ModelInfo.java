package io.millrace.worker.serving;

import static io.millrace.worker.backend.MemoryNeed.mib;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.hub.ResolvedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a model is and needs, read from its headers: nothing is loaded.
 *
 * @param architecture as in "llama"
 * @param format of most of its weights, as in "Q4_1" or "AWQ 4 bit, groups of 128"
 * @param parameters number of weights
 * @param bitsPerWeight as stored
 * @param contextLength most tokens the model is made for
 * @param storedBytes of the weights in their files
 * @param need of memory with the engine and options; null when {@code problem} kept it from being known
 * @param kvBytesPerToken of the cache
 * @param maxModelLen most tokens of prompt and output together at these options
 * @param problem why it cannot be loaded here and so, with its code; null: it can
 */
public record ModelInfo(
        String name,
        String path,
        String architecture,
        String format,
        long parameters,
        double bitsPerWeight,
        int layers,
        int contextLength,
        long storedBytes,
        @Nullable MemoryNeed need,
        long kvBytesPerToken,
        int maxModelLen,
        @Nullable String problem) {

    /** Reads the headers; coded errors as of loading, but for memory, which {@link #problem} tells. */
    public static ModelInfo describe(ResolvedModel model, ModelOptions options) {
        try (OpenModel files = OpenModel.open(model.path(), options.task())) {
            return switch (files) {
                case ModelFiles generating -> describe(model, generating, options);
                case PooledFiles pooled -> describe(model, pooled, options);
            };
        }
    }

    private static ModelInfo describe(ResolvedModel model, ModelFiles files, ModelOptions options) {
        DecoderConfig config = files.decoder().config();
        KvBudget budget = KvBudget.of(config, options, () -> Backends.cacheBytes(files, options));
        MemoryNeed need = null;
        String problem = null;
        try {
            need = Engines.need(options, files, budget.options());
            problem = problem(need, Engines.weights(options));
        } catch (MillraceException e) {
            problem = e.toString();
        }
        long parameters = files.parameters();
        return new ModelInfo(
                model.name(),
                model.path().toString(),
                config.architecture(),
                files.format(),
                parameters,
                8.0 * files.storedBytes() / Math.max(1, parameters),
                config.layers(),
                config.contextLength(),
                files.storedBytes(),
                need,
                budget.bytesPerToken(),
                budget.maxModelLen(),
                problem);
    }

    private static ModelInfo describe(ResolvedModel model, PooledFiles files, ModelOptions options) {
        PooledModel pooled = files.model();
        long parameters = files.parameters();
        MemoryNeed need = Engines.need(options, pooled);
        return new ModelInfo(
                model.name(),
                model.path().toString(),
                pooled.architecture() + (pooled.head() ? " for scores" : " for embeddings"),
                files.format(),
                parameters,
                8.0 * files.storedBytes() / Math.max(1, parameters),
                pooled.layers(),
                pooled.contextLength(),
                files.storedBytes(),
                need,
                0,
                files.maxTokens(options),
                problem(need, "weights in float32"));
    }

    private static @Nullable String problem(MemoryNeed need, String weights) {
        return need.shortByBytes() == 0
                ? null
                : need.tooMuch("The model", weights).toString();
    }

    /** For a person: what it is, what it needs, and what is wrong if something is. */
    public List<String> lines() {
        List<String> lines = new ArrayList<>();
        lines.add(String.format(
                Locale.ROOT,
                "%s: %s, %s, %s parameters at %.1f bits, %d layers, context %,d",
                name,
                architecture,
                format,
                count(parameters),
                bitsPerWeight,
                layers,
                contextLength));
        if (need != null) {
            lines.add(String.format(
                    Locale.ROOT,
                    "needs %s MiB, available are %s: weights %s (stored %s), KV cache %s%s%s%s",
                    mib(need.totalBytes()),
                    mib(need.availableBytes()),
                    mib(need.weightBytes()),
                    mib(storedBytes),
                    mib(need.kvBytes()),
                    part("workspace", need.workBytes()),
                    part("kept free", need.keptBytes()),
                    swapped(need)));
        }
        lines.add(
                kvBytesPerToken == 0
                        ? String.format(Locale.ROOT, "takes inputs of up to %,d tokens", maxModelLen)
                        : String.format(
                                Locale.ROOT,
                                "serves sequences of up to %,d tokens: %s MiB of KV cache each, %,d bytes a token",
                                maxModelLen,
                                mib(maxModelLen * kvBytesPerToken),
                                kvBytesPerToken));
        if (problem != null) {
            lines.add(problem);
        }
        return lines;
    }

    private static String part(String what, long bytes) {
        return bytes == 0 ? "" : ", " + what + " " + mib(bytes);
    }

    private static String swapped(MemoryNeed need) {
        return need.swapBytes() == 0
                ? ""
                : (need.swapApart() ? "; of the machine's memory " : ", ") + "swapped blocks " + mib(need.swapBytes());
    }

    private static String count(long parameters) {
        return parameters >= 1_000_000
                ? String.format(Locale.ROOT, "%,.0f M", parameters / 1e6)
                : String.format(Locale.ROOT, "%,d", parameters);
    }
}
