package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.Sampling;
import io.millrace.worker.engine.StepReport;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench host}: what an engine's own work adds to the model's arithmetic, step by step, while several streams decode with a
 * temperature: planning, drawing, text and books; and what the thread that hands tokens on takes beside the next step.
 */
@Command(
        name = "host",
        description = "The engine's own work as a share of a step: planning, drawing ids, text, handing on.",
        sortOptions = false)
final class HostCommand implements Callable<Integer> {

    private static final int WARM_UP = 3;

    @Option(names = "--model", defaultValue = "default", description = "Default: ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--streams", defaultValue = "16", description = "Default: ${DEFAULT-VALUE}.")
    private int streams;

    @Option(names = "--max-tokens", defaultValue = "128", description = "Of each (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(names = "--temperature", defaultValue = "0.8", description = "Default: ${DEFAULT-VALUE}.")
    private double temperature;

    @Option(names = "--top-p", defaultValue = "1", description = "Default: ${DEFAULT-VALUE}.")
    private double topP;

    @Option(
            names = "--rounds",
            defaultValue = "5",
            description = "After three that warm the JVM up (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws InterruptedException, ExecutionException {
        if (streams < 1 || maxTokens < 2 || rounds < 1 || rounds > 1000) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--streams " + streams + " must be 1 or more, --max-tokens " + maxTokens + " 2 or more, --rounds "
                            + rounds + " in 1..1,000.");
        }
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "host")
                .put("model", model)
                .put("streams", streams)
                .put("max_tokens", maxTokens)
                .put("temperature", temperature)
                .put("top_p", topP)
                .put("rounds", rounds);
        List<StepReport> steps = new ArrayList<>();
        List<HostShare> shares = new ArrayList<>();
        try (ServedModel served = ModelHost.fromEnvironment()
                .load(model, ModelOptions.DEFAULT, ModelProgress.NONE, report -> {
                    synchronized (steps) {
                        steps.add(report);
                    }
                })) {
            all.put("numerics", served.numericsId());
            ThreadTimes listeners = new ThreadTimes("millrace-output-");
            for (int round = 0; round < WARM_UP + rounds; round++) {
                synchronized (steps) {
                    steps.clear();
                }
                long before = listeners.cpuNanos();
                ask(served, round);
                long cpu = listeners.cpuNanos() - before;
                synchronized (steps) {
                    if (round >= WARM_UP) {
                        shares.add(HostShare.of(steps, streams, cpu));
                    }
                }
            }
        }
        HostShare median = HostShare.median(shares);
        median.print(output.print());
        median.write(all.putObject("median"));
        ArrayNode each = all.putArray("host_share");
        shares.forEach(share -> each.add(Math.round(share.share() * 1e4) / 1e4));
        output.write("host", all);
        return 0;
    }

    private void ask(ServedModel served, int round) throws InterruptedException, ExecutionException {
        EngineCalls calls = new EngineCalls(served);
        Sampling sampling = Sampling.newBuilder()
                .setTemperature((float) temperature)
                .setTopP((float) topP)
                .setMaxTokens(maxTokens)
                .setIgnoreEos(true)
                .build();
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<StreamTimes>> asked = new ArrayList<>();
            for (int i = 0; i < streams; i++) {
                int seed = round * streams + i;
                asked.add(threads.submit(() -> calls.run("Tell me a story, number " + seed + ".", sampling, seed)));
            }
            for (Future<StreamTimes> each : asked) {
                if (!each.get().ok()) {
                    throw new MillraceException(
                            "MR-BENCH-010",
                            served.name() + " gave no answer: " + each.get().error() + ".");
                }
            }
        }
    }
}
