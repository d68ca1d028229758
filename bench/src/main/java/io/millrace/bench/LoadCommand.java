package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.Main;
import io.millrace.worker.serving.ModelOptions;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench load}: how long a model takes from its name to its first token, in a JVM that has loaded none before, and in one that
 * has. Its file is in the page cache.
 */
@Command(
        name = "load",
        description = "From a model's name to its first token: in fresh JVMs, and in one that has loaded it before.",
        sortOptions = false)
final class LoadCommand implements Callable<Integer> {

    /** Loads before those that count as warm. */
    private static final int WARM_UP = 3;

    private static final String CHILD = "--child";

    @Option(names = "--model", defaultValue = "default", description = "Default: ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--engine", defaultValue = "auto", description = "Default: ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private String engine;

    @Option(names = "--rounds", defaultValue = "5", description = "Of each kind (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(names = CHILD, hidden = true)
    private boolean child;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    private final Results results = new Results();

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (rounds < 1 || rounds > 1000) {
            throw new MillraceException("MR-BENCH-002", "--rounds " + rounds + " must be in 1..1,000.");
        }
        ModelOptions options = ModelOptions.DEFAULT.withEngine(engine);
        PrintWriter print = output.print();
        if (child) {
            ObjectNode one = results.object();
            LoadRun.of(model, options).write(one);
            print.println(one);
            return 0;
        }
        List<LoadRun> cold = new ArrayList<>();
        for (int i = 0; i < rounds; i++) {
            cold.add(inFreshJvm());
        }
        List<LoadRun> warm = new ArrayList<>();
        for (int i = 0; i < WARM_UP + rounds; i++) {
            LoadRun run = LoadRun.of(model, options);
            if (i >= WARM_UP) {
                warm.add(run);
            }
        }
        ObjectNode all = results.object()
                .put("bench", "load")
                .put("model", model)
                .put("engine", engine)
                .put("rounds", rounds);
        report(print, "fresh JVM", cold, all.putObject("fresh_jvm"));
        report(print, "warm JVM", warm, all.putObject("warm_jvm"));
        output.write("load", all);
        return 0;
    }

    /** In a process of its own, with the options of this one. */
    private LoadRun inFreshJvm() throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of("bench", "load", CHILD, "--model", model, "--engine", engine));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        List<String> lines = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .lines()
                .toList();
        process.waitFor();
        return lines.stream()
                .filter(line -> line.startsWith("{"))
                .findFirst()
                .map(line -> LoadRun.read(new JsonMapper().readTree(line)))
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-010", "A fresh JVM gave no token: " + String.join(" ", lines) + "."));
    }

    /** The run in the middle, and the times of all. */
    private static void report(PrintWriter print, String where, List<LoadRun> runs, ObjectNode into) {
        List<LoadRun> sorted = runs.stream()
                .sorted(Comparator.comparingDouble(LoadRun::totalMs))
                .toList();
        LoadRun median = sorted.get(sorted.size() / 2);
        ArrayNode totals = into.putArray("totals_ms");
        sorted.forEach(run -> totals.add(Math.round(run.totalMs())));
        median.write(into.putObject("median"));
        print.printf(
                "%-10s %6.0f ms to the first token (%.0f of it the request)",
                where, median.totalMs(), median.firstTokenMs());
        median.partsMs().forEach((name, ms) -> print.printf("  %s %.0f", name, ms));
        print.printf(
                "  [%.0f to %.0f]%n",
                sorted.getFirst().totalMs(), sorted.getLast().totalMs());
        print.flush();
    }
}
