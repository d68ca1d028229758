package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.hub.HubSettings;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.serving.ModelInfo;
import io.millrace.worker.serving.ModelOptions;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code millrace models}: what is served, and what lies in the cache. */
@Command(
        name = "models",
        description = "Lists the models that are served and those on this machine.",
        sortOptions = false)
final class ModelsCommand implements Callable<Integer> {

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The gateway (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        out.println("Served at " + url + ":");
        ServedModels.lines(url).forEach(line -> out.println("  " + line));
        Path cache = HubSettings.fromEnvironment(System.getenv()).cache();
        out.println("On this machine (" + cache + "):");
        List<Path> found = local(cache);
        if (found.isEmpty()) {
            out.println("  none");
        }
        for (Path path : found) {
            out.println("  " + describe(path));
            out.println("    --model " + path);
        }
        if (ModelLocator.fromEnvironment().locateCached("default") == null) {
            out.println("The default model is not here yet: './millrace up' fetches it.");
        }
        return 0;
    }

    /** Architecture, size and memory, or what is wrong with the file. */
    private static String describe(Path path) {
        try {
            ResolvedModel model = ModelLocator.fromEnvironment().locateCached(path.toString());
            return model == null
                    ? path.getFileName() + ": gone"
                    : ModelInfo.describe(model, ModelOptions.DEFAULT).line();
        } catch (MillraceException unreadable) {
            return path.getFileName() + ": " + unreadable;
        }
    }

    private static List<Path> local(Path cache) {
        try (Stream<Path> tree = Files.walk(cache, 6)) {
            return tree.filter(path -> path.toString().endsWith(".gguf") || path.endsWith("config.json"))
                    .map(path -> path.endsWith("config.json") ? Objects.requireNonNull(path.getParent()) : path)
                    .distinct()
                    .sorted()
                    .toList();
        } catch (IOException noCache) {
            return List.of();
        }
    }
}
