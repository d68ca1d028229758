package io.millrace.standalone.cli;

import io.millrace.worker.model.hub.HubSettings;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ResolvedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
        local(cache).forEach(line -> out.println("  " + line));
        ResolvedModel standard = ModelLocator.fromEnvironment().locateCached("default");
        out.println("The default model is "
                + (standard == null ? "not here yet: './millrace up' fetches it." : "here: " + standard.path()));
        return 0;
    }

    private static List<String> local(Path cache) {
        try (Stream<Path> tree = Files.walk(cache, 6)) {
            List<String> found = tree.filter(p -> p.toString().endsWith(".gguf") || p.endsWith("config.json"))
                    .map(p -> p.endsWith("config.json") ? p.resolveSibling("") : p)
                    .map(Path::toString)
                    .distinct()
                    .sorted()
                    .toList();
            return found.isEmpty() ? List.of("none") : found;
        } catch (IOException e) {
            return List.of("none");
        }
    }
}
