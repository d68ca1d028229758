package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.model.gguf.ShardName;
import io.millrace.worker.model.hub.HubSettings;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.serving.ModelInfo;
import io.millrace.worker.serving.ModelOptions;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.springframework.util.unit.DataSize;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code millrace models}: what is served, what lies in the cache, and what models are and need before they are loaded. */
@Command(
        name = "models",
        description =
                "Says what models are and what memory they need; without SPEC, of those served and on this machine.",
        sortOptions = false)
final class ModelsCommand implements Callable<Integer> {

    @Parameters(
            arity = "0..*",
            paramLabel = "SPEC",
            description = "A .gguf file, a folder, hf:org/name or 'default'; nothing is downloaded.")
    private List<String> specs = new ArrayList<>();

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The gateway (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(names = "--engine", paramLabel = "NAME", description = "For which memory is counted (default auto).")
    private String engine = "auto";

    @Option(
            names = "--task",
            paramLabel = "NAME",
            description = "auto, generate, embed or score (default auto: as the model's files say).")
    private String task = "auto";

    @Option(
            names = "--max-model-len",
            paramLabel = "TOKENS",
            description = "Most tokens of prompt and output together.")
    private int maxModelLen;

    @Option(
            names = "--force-max-model-len",
            description = "Accept a --max-model-len beyond what the model is made for.")
    private boolean forceMaxModelLen;

    @Option(names = "--kv-memory", paramLabel = "SIZE", description = "Memory of a model's KV cache, such as 1GB.")
    private @Nullable String kvMemory;

    @Option(
            names = "--kv-dtype",
            paramLabel = "NAME",
            description = "How keys and values are kept: f32, f16, bf16, int8 or fp8 (default f32).")
    private String kvDtype = "f32";

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    private final ModelLocator locator = ModelLocator.fromEnvironment();

    /** 0 when every model that was named can be loaded here, else 1. */
    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        ModelOptions options = ModelOptions.DEFAULT
                .withEngine(engine)
                .withTask(task)
                .withMaxModelLen(maxModelLen)
                .withForceMaxModelLen(forceMaxModelLen)
                .withKvMemoryBytes(kvMemory())
                .withKvType(KvType.of(kvDtype));
        if (!specs.isEmpty()) {
            boolean all = true;
            for (String named : specs) {
                all &= describe(named, options, "", out);
            }
            return all ? 0 : 1;
        }
        out.println("Served at " + url + ":");
        ServedModels.lines(url).forEach(line -> out.println("  " + line));
        Path cache = HubSettings.fromEnvironment(System.getenv()).cache();
        out.println("On this machine (" + cache + "):");
        List<Path> found = local(cache);
        if (found.isEmpty()) {
            out.println("  none");
        }
        for (Path path : found) {
            describe(path.toString(), options, "  ", out);
            out.println("    --model " + path);
        }
        if (locator.locateCached("default") == null) {
            out.println("The default model is not here yet: './millrace up' fetches it.");
        }
        return 0;
    }

    private long kvMemory() {
        try {
            return kvMemory == null ? 0 : DataSize.parse(kvMemory).toBytes();
        } catch (IllegalArgumentException e) {
            throw new ParameterException(
                    spec.commandLine(), "--kv-memory " + kvMemory + " is no size: write it as 512MB or 1GB.", e);
        }
    }

    /** What the model is and needs, or what is wrong with it; whether it can be loaded here. */
    private boolean describe(String named, ModelOptions options, String indent, PrintWriter out) {
        try {
            ResolvedModel model = locator.locateCached(named);
            if (model == null) {
                out.println(indent + named + ": not on this machine; './millrace up --model " + named + "' fetches it");
                return false;
            }
            ModelInfo info = ModelInfo.describe(model, options);
            List<String> lines = info.lines();
            out.println(indent + lines.getFirst());
            lines.stream().skip(1).forEach(line -> out.println(indent + "  " + line));
            return info.problem() == null;
        } catch (MillraceException unreadable) {
            out.println(indent + named + ": " + unreadable);
            return false;
        }
    }

    private static List<Path> local(Path cache) {
        try (Stream<Path> tree = Files.walk(cache, 6)) {
            return tree.filter(path -> path.toString().endsWith(".gguf") || path.endsWith("config.json"))
                    .filter(path ->
                            !(ShardName.parse(path.toString()) instanceof ShardName shard) || shard.number() == 1)
                    .map(path -> path.endsWith("config.json") ? Objects.requireNonNull(path.getParent()) : path)
                    .distinct()
                    .sorted()
                    .toList();
        } catch (IOException noCache) {
            return List.of();
        }
    }
}
