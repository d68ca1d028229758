package io.millrace.bench;

import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.EnumSet;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench log}: the same requests to the mock model, once to its engine directly, once through HTTP, gateway,
 * Kafka, router and worker and back. The difference is what the log costs: of a server in its steady state, and beside it of one that
 * has just started.
 */
@Command(
        name = "log",
        description = "What the log costs: the whole path against the engine called directly, mock model.",
        sortOptions = false)
final class LogCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final long PATIENCE_S = 60;
    private static final int WARM_UP_FACTOR = 10;
    private static final int COLD_MAX = 100;

    @Option(names = "--rate", defaultValue = "10", description = "Mean arrivals a second (default ${DEFAULT-VALUE}).")
    private double rate;

    @Option(names = "--requests", defaultValue = "200", description = "Of each way (default ${DEFAULT-VALUE}).")
    private int requests;

    @Option(
            names = "--warm-up",
            defaultValue = "8000",
            description =
                    "At most so many, at ten times the rate, until the server is in its steady state: one that has just"
                            + " started still interprets much of its code (default ${DEFAULT-VALUE}).")
    private int warmUp;

    @Option(names = "--max-tokens", defaultValue = "32", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--step-ms",
            defaultValue = "10",
            description = "What a step of the engine takes (default ${DEFAULT-VALUE}).")
    private int stepMs;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    /** One way's times: its first requests, how it became steady, and those that count. */
    private record Way(LoadResult cold, SteadyState.Reached steady, LoadResult load) {

        int failed() {
            return cold.failed() + load.failed();
        }
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = output.print();
        Way direct = direct();
        Way path = path();
        print.printf("%-26s %9s %9s %9s %9s%n", "", "ttft p50", "ttft p99", "itl p50", "itl p99");
        row(print, "engine alone (ms)", times(direct.load()));
        row(print, "whole path (ms)", times(path.load()));
        row(print, "the log costs (ms)", difference(direct.load(), path.load()));
        row(print, "just started (ms)", difference(direct.cold(), path.cold()));
        print.printf(
                "Steady after %s of the engine and %s of the path; just started: the first %d of each.%n",
                told(direct.steady()), told(path.steady()), cold());
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "log")
                .put("rate", rate)
                .put("requests", requests)
                .put("max_tokens", maxTokens)
                .put("step_ms", stepMs)
                .put("failed", path.failed() + direct.failed());
        all.set("direct", results.percentiles(direct.load()));
        all.set("path", results.percentiles(path.load()));
        difference(direct.load(), path.load()).write(all.putObject("delta"));
        all.putObject("warm_up")
                .put("direct_requests", direct.steady().requests())
                .put("direct_steady", direct.steady().reached())
                .put("path_requests", path.steady().requests())
                .put("path_steady", path.steady().reached());
        ObjectNode started = all.putObject("just_started").put("requests", cold());
        started.set("direct", results.percentiles(direct.cold()));
        started.set("path", results.percentiles(path.cold()));
        difference(direct.cold(), path.cold()).write(started.putObject("delta"));
        output.write("log", all);
        return path.failed() + direct.failed() == 0 ? 0 : 1;
    }

    /** What a row of the table shows, in milliseconds. */
    private record Times(double first50, double first99, double gap50, double gap99) {

        void write(ObjectNode to) {
            to.put("ttft_p50_ms", first50)
                    .put("ttft_p99_ms", first99)
                    .put("inter_token_p50_ms", gap50)
                    .put("inter_token_p99_ms", gap99);
        }
    }

    private static Times times(LoadResult load) {
        return new Times(load.firstMs(50), load.firstMs(99), load.gapMs(50), load.gapMs(99));
    }

    private static Times difference(LoadResult direct, LoadResult path) {
        Times a = times(direct);
        Times b = times(path);
        return new Times(
                b.first50() - a.first50(), b.first99() - a.first99(), b.gap50() - a.gap50(), b.gap99() - a.gap99());
    }

    private static void row(PrintWriter print, String what, Times times) {
        print.printf(
                "%-26s %9.2f %9.2f %9.2f %9.2f%n",
                what, times.first50(), times.first99(), times.gap50(), times.gap99());
    }

    private static String told(SteadyState.Reached steady) {
        return "%,d requests%s".formatted(steady.requests(), steady.reached() ? "" : " (not steady yet)");
    }

    private int cold() {
        return Math.min(COLD_MAX, requests);
    }

    private Way direct() throws InterruptedException {
        ModelOptions options = ModelOptions.DEFAULT.withEngine("mock").withMockStepNanos(stepMs * 1_000_000L);
        try (ServedModel model = ModelHost.fromEnvironment().load(MODEL, options, ModelProgress.NONE)) {
            EngineCalls calls = new EngineCalls(model);
            return measure(i -> calls.run(prompt(i), maxTokens, i));
        }
    }

    private Way path() throws IOException, InterruptedException {
        try (BenchSystem system = BenchSystem.start()) {
            PartsApplication parts = system.add(
                    EnumSet.allOf(Role.class),
                    Map.of(
                            "millrace.worker.models[0]",
                            MODEL,
                            "millrace.worker.engine",
                            "mock",
                            "millrace.worker.mock-step",
                            stepMs + "ms"));
            OpenAiStream server = new OpenAiStream(BenchSystem.url(parts), MODEL, null);
            return measure(i -> server.run(prompt(i), maxTokens, i));
        }
    }

    private Way measure(IntFunction<StreamTimes> one) throws InterruptedException {
        LoadResult first = load(cold(), one);
        SteadyState.Reached steady = SteadyState.await(warmUp, WARM_UP_FACTOR * rate, one);
        return new Way(first, steady, load(requests, one));
    }

    private LoadResult load(int count, IntFunction<StreamTimes> one) throws InterruptedException {
        LoadResult load = new LoadResult(1_000, 100);
        OpenLoop.run(count, rate, 1, PATIENCE_S, load, one);
        return load;
    }

    private static String prompt(int number) {
        return "Request " + number + " asks for nothing but hashes.";
    }
}
