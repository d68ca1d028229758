package io.millrace.bench;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench log}: the same requests to the mock model, once to its engine directly, once through HTTP, gateway,
 * Kafka, router and worker and back. The difference is what the log costs.
 */
@Command(
        name = "log",
        description = "What the log costs: the whole path against the engine called directly, mock model.",
        sortOptions = false)
final class LogCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final long PATIENCE_S = 60;
    private static final int WARM_UP_FACTOR = 10;

    @Option(names = "--rate", defaultValue = "10", description = "Mean arrivals a second (default ${DEFAULT-VALUE}).")
    private double rate;

    @Option(names = "--requests", defaultValue = "200", description = "Of each way (default ${DEFAULT-VALUE}).")
    private int requests;

    @Option(
            names = "--warm-up",
            defaultValue = "3000",
            description = "Before it counts, at ten times the rate: a server that has just started still"
                    + " interprets much of its code (default ${DEFAULT-VALUE}).")
    private int warmUp;

    @Option(names = "--max-tokens", defaultValue = "32", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--step-ms",
            defaultValue = "10",
            description = "What a step of the engine takes (default ${DEFAULT-VALUE}).")
    private int stepMs;

    @Option(names = "--out", paramLabel = "DIR", description = "Where the JSON goes (default bench/results).")
    private @Nullable Path out;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = spec.commandLine().getOut();
        LoadResult direct = direct();
        LoadResult path = path();
        print.printf("%-22s %9s %9s %9s %9s%n", "", "ttft p50", "ttft p99", "itl p50", "itl p99");
        row(print, "engine alone (ms)", direct.firstMs(50), direct.firstMs(99), direct.gapMs(50), direct.gapMs(99));
        row(print, "whole path (ms)", path.firstMs(50), path.firstMs(99), path.gapMs(50), path.gapMs(99));
        row(
                print,
                "the log costs (ms)",
                path.firstMs(50) - direct.firstMs(50),
                path.firstMs(99) - direct.firstMs(99),
                path.gapMs(50) - direct.gapMs(50),
                path.gapMs(99) - direct.gapMs(99));
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "log")
                .put("rate", rate)
                .put("requests", requests)
                .put("max_tokens", maxTokens)
                .put("step_ms", stepMs)
                .put("failed", path.failed() + direct.failed());
        all.set("direct", results.percentiles(direct));
        all.set("path", results.percentiles(path));
        all.putObject("delta")
                .put("ttft_p50_ms", path.firstMs(50) - direct.firstMs(50))
                .put("ttft_p99_ms", path.firstMs(99) - direct.firstMs(99))
                .put("inter_token_p50_ms", path.gapMs(50) - direct.gapMs(50))
                .put("inter_token_p99_ms", path.gapMs(99) - direct.gapMs(99));
        print.println("Written to " + results.write(out == null ? Results.defaultFolder() : out, "log", all));
        return path.failed() + direct.failed() == 0 ? 0 : 1;
    }

    private static void row(PrintWriter print, String what, double a, double b, double c, double d) {
        print.printf("%-22s %9.2f %9.2f %9.2f %9.2f%n", what, a, b, c, d);
    }

    private LoadResult direct() throws InterruptedException {
        ModelOptions options = ModelOptions.DEFAULT.withEngine("mock").withMockStepNanos(stepMs * 1_000_000L);
        try (ServedModel model = ModelHost.fromEnvironment().load(MODEL, options, ModelProgress.NONE)) {
            EngineCalls calls = new EngineCalls(model);
            return measure(i -> calls.run(prompt(i), maxTokens, i));
        }
    }

    private LoadResult path() throws IOException, InterruptedException {
        Path data = Files.createTempDirectory("millrace-bench");
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(data.resolve("kafka"), 0));
                PartsApplication parts = PartsApplication.start(
                        EnumSet.allOf(Role.class),
                        Map.of(
                                "server.port",
                                0,
                                "millrace.kafka.bootstrap-servers",
                                broker.bootstrap(),
                                "millrace.worker.models[0]",
                                MODEL,
                                "millrace.worker.engine",
                                "mock",
                                "millrace.worker.mock-step",
                                stepMs + "ms"),
                        Map.of(),
                        CompletableFuture.completedFuture(null),
                        line -> {})) {
            for (Part part : parts.parts()) {
                part.started().join();
            }
            OpenAiStream server = new OpenAiStream("http://127.0.0.1:" + parts.port(), MODEL, null);
            return measure(i -> server.run(prompt(i), maxTokens, i));
        } finally {
            delete(data);
        }
    }

    private LoadResult measure(java.util.function.IntFunction<StreamTimes> one) throws InterruptedException {
        OpenLoop.run(warmUp, WARM_UP_FACTOR * rate, 2, PATIENCE_S, new LoadResult(1_000, 100), one);
        LoadResult load = new LoadResult(1_000, 100);
        OpenLoop.run(requests, rate, 1, PATIENCE_S, load, one);
        return load;
    }

    private static String prompt(int number) {
        return "Request " + number + " asks for nothing but hashes.";
    }

    static void delete(Path folder) throws IOException {
        try (Stream<Path> tree = Files.walk(folder)) {
            for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
