package io.millrace.standalone.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What workers serve, and with what. */
final class WorkerOptions {

    @Option(
            names = "--model",
            paramLabel = "[NAME=]SPEC",
            description =
                    "A .gguf file, a folder, hf:org/name, 'default' (SmolLM2-135M-Instruct) or 'mock'; may be repeated.")
    private List<String> models = new ArrayList<>();

    @Option(
            names = "--engine",
            paramLabel = "NAME",
            description =
                    "auto (cuda where a GPU passes its check, else cpu, else torch), torch, cpu, cuda or mock (default auto).")
    private @Nullable String engine;

    @Option(
            names = "--task",
            paramLabel = "NAME",
            description = "auto, generate, embed or score (default auto: as the model's files say).")
    private @Nullable String task;

    @Option(
            names = "--max-model-len",
            paramLabel = "TOKENS",
            description = "Most tokens of prompt and output together.")
    private @Nullable Integer maxModelLen;

    @Option(
            names = "--force-max-model-len",
            description = "Accept a --max-model-len beyond what the model is made for.")
    private boolean forceMaxModelLen;

    @Option(names = "--kv-memory", paramLabel = "SIZE", description = "Memory of a model's KV cache, such as 1GB.")
    private @Nullable String kvMemory;

    @Option(
            names = "--kv-dtype",
            paramLabel = "NAME",
            description =
                    "How keys and values are kept: f32, f16, bf16, int8 or fp8 (default f32; fp8 with the cuda engine).")
    private @Nullable String kvDtype;

    @Option(
            names = "--activations",
            paramLabel = "NAME",
            description =
                    "With which quantised weights are multiplied: auto (int8; cuda: bf16), float, or fp8 (cuda, with --products library).")
    private @Nullable String activations;

    @Option(
            names = "--products",
            paramLabel = "NAME",
            description =
                    "Whose products of many rows the cuda engine takes: invariant (ours), library (cuBLASLt), or library:ROWS (from so many rows on).")
    private @Nullable String products;

    @Option(names = "--pin-threads", description = "Keep each of the cpu engine's helpers on one processor.")
    private boolean pinThreads;

    @Option(
            names = "--repack-cache",
            paramLabel = "DIR",
            description = "Folder where the cpu engine keeps packed weights for the next start.")
    private @Nullable String repackCache;

    Map<String, Object> properties() {
        Map<String, Object> properties = new LinkedHashMap<>();
        for (int i = 0; i < models.size(); i++) {
            properties.put("millrace.worker.models[" + i + "]", models.get(i));
        }
        put(properties, "millrace.worker.engine", engine);
        put(properties, "millrace.worker.task", task);
        put(properties, "millrace.worker.max-model-len", maxModelLen);
        put(properties, "millrace.worker.force-max-model-len", forceMaxModelLen ? true : null);
        put(properties, "millrace.worker.kv-memory", kvMemory);
        put(properties, "millrace.worker.kv-dtype", kvDtype);
        put(properties, "millrace.worker.activations", activations);
        put(properties, "millrace.worker.products", products);
        put(properties, "millrace.worker.pin-threads", pinThreads ? true : null);
        put(properties, "millrace.worker.repack-cache", repackCache);
        return properties;
    }

    /** The same as arguments for a child. */
    List<String> arguments() {
        List<String> arguments = new ArrayList<>();
        models.forEach(model -> arguments.addAll(List.of("--model", model)));
        add(arguments, "--engine", engine);
        add(arguments, "--task", task);
        add(arguments, "--max-model-len", maxModelLen);
        if (forceMaxModelLen) {
            arguments.add("--force-max-model-len");
        }
        add(arguments, "--kv-memory", kvMemory);
        add(arguments, "--kv-dtype", kvDtype);
        add(arguments, "--activations", activations);
        add(arguments, "--products", products);
        if (pinThreads) {
            arguments.add("--pin-threads");
        }
        add(arguments, "--repack-cache", repackCache);
        return arguments;
    }

    private static void put(Map<String, Object> properties, String name, @Nullable Object value) {
        if (value != null) {
            properties.put(name, value);
        }
    }

    private static void add(List<String> arguments, String flag, @Nullable Object value) {
        if (value != null) {
            arguments.addAll(List.of(flag, value.toString()));
        }
    }
}
