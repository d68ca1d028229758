package io.millrace.bench;

import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench placement}: what the router's choice of a worker costs, and what it gains. The gain on the whole path (gateway,
 * router, four workers with real scheduling and prefix caches, a broker, in this process): prompts that share prefixes, placed by cost,
 * in turn, and by load alone.
 */
@Command(
        name = "placement",
        description = "Time of a placement decision among many workers; first token and prefix hits by cost,"
                + " by load alone and in turn.",
        sortOptions = false)
final class PlacementCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final long PATIENCE_S = 60;
    private static final int MOCK_ENTRY_BYTES = 16;
    private static final int OPEN_OF_ONE_ROUTER = 2_500;
    private static final List<String> POLICIES = List.of("cost", "least-loaded", "round-robin");

    @Option(
            names = "--deciding-workers",
            defaultValue = "1000",
            description = "Simulated workers of the timed decisions (default ${DEFAULT-VALUE}).")
    private int decidingWorkers;

    @Option(names = "--decisions", defaultValue = "20000", description = "Timed (default ${DEFAULT-VALUE}).")
    private int decisions;

    @Option(names = "--workers", defaultValue = "4", description = "That serve (default ${DEFAULT-VALUE}).")
    private int workers;

    @Option(names = "--prefixes", defaultValue = "24", description = "Shared prefixes (default ${DEFAULT-VALUE}).")
    private int prefixes;

    @Option(
            names = "--prefix-tokens",
            defaultValue = "4000",
            description = "Of each; the mock's tokens are bytes (default ${DEFAULT-VALUE}).")
    private int prefixTokens;

    @Option(
            names = "--cached-prefixes",
            defaultValue = "9",
            description = "How many of them a worker's KV cache holds (default ${DEFAULT-VALUE}).")
    private int cachedPrefixes;

    @Option(names = "--row-us", defaultValue = "25", description = "Of a prompt's token (default ${DEFAULT-VALUE}).")
    private int rowMicros;

    @Option(names = "--rate", defaultValue = "24", description = "Requests a second (default ${DEFAULT-VALUE}).")
    private double rate;

    @Option(
            names = "--requests",
            defaultValue = "240",
            description = "Of each policy, after half as many to warm it; 0: none (default ${DEFAULT-VALUE}).")
    private int requests;

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

    /** Prompt tokens looked up in the workers' prefix caches, and found there. */
    private record Cached(double queries, double hits) {

        double since(Cached before) {
            return (hits - before.hits) / Math.max(1, queries - before.queries);
        }
    }

    private record Outcome(LoadResult load, double hitRate) {}

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = spec.commandLine().getOut();
        ObjectNode all = new Results().object().put("bench", "placement");
        decide(print, all.putObject("decisions"));
        Map<String, Outcome> outcomes = new LinkedHashMap<>();
        for (String policy : requests == 0 ? List.<String>of() : POLICIES) {
            outcomes.put(policy, serve(policy));
        }
        boolean failed = !outcomes.isEmpty() && report(print, outcomes, all);
        print.println(
                "Written to " + new Results().write(out == null ? Results.defaultFolder() : out, "placement", all));
        return failed ? 1 : 0;
    }

    private void decide(PrintWriter print, ObjectNode into) {
        PlacementDecisions timed = new PlacementDecisions(decidingWorkers, OPEN_OF_ONE_ROUTER);
        timed.run(decisions);
        timed.run(decisions);
        Histogram nanos = timed.decisionNanos;
        into.put("workers", decidingWorkers)
                .put("decisions", decisions)
                .put("mean_us", nanos.getMean() / 1e3)
                .put("p50_us", nanos.getValueAtPercentile(50) / 1e3)
                .put("p99_us", nanos.getValueAtPercentile(99) / 1e3)
                .put("cpu_p50_us", timed.decisionCpuNanos.getValueAtPercentile(50) / 1e3)
                .put("cpu_p99_us", timed.decisionCpuNanos.getValueAtPercentile(99) / 1e3)
                .put("per_second", 1e9 / nanos.getMean())
                .put("workers_looked_at", timed.looks())
                .put("with_prefix", timed.withPrefix())
                .put("beat_p50_us", timed.beatNanos.getValueAtPercentile(50) / 1e3)
                .put("beat_p99_us", timed.beatNanos.getValueAtPercentile(99) / 1e3);
        print.printf(
                "%,d workers: a decision takes %.1f us (p50), %.1f us (p99), of the processor %.1f and %.1f us, so %,.0f a second; looks at %.1f workers; a beat %.1f us (p50), %.1f us (p99)%n",
                decidingWorkers,
                nanos.getValueAtPercentile(50) / 1e3,
                nanos.getValueAtPercentile(99) / 1e3,
                timed.decisionCpuNanos.getValueAtPercentile(50) / 1e3,
                timed.decisionCpuNanos.getValueAtPercentile(99) / 1e3,
                1e9 / nanos.getMean(),
                timed.looks(),
                timed.beatNanos.getValueAtPercentile(50) / 1e3,
                timed.beatNanos.getValueAtPercentile(99) / 1e3);
    }

    private Outcome serve(String policy) throws IOException, InterruptedException {
        Path data = Files.createTempDirectory("millrace-bench");
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(data.resolve("kafka"), 0));
                PartsApplication parts = PartsApplication.start(
                        EnumSet.allOf(Role.class),
                        flags(policy, broker),
                        Map.of(),
                        CompletableFuture.completedFuture(null),
                        line -> {})) {
            for (Part part : parts.parts()) {
                part.started().join();
            }
            OpenAiStream server = new OpenAiStream("http://127.0.0.1:" + parts.port(), MODEL, null);
            load(server, requests / 2, 1);
            Cached before = cached(parts.port());
            LoadResult load = load(server, requests, 2);
            return new Outcome(load, cached(parts.port()).since(before));
        } finally {
            LogCommand.delete(data);
        }
    }

    private Map<String, Object> flags(String policy, EmbeddedBroker broker) {
        return Map.of(
                "server.port",
                0,
                "millrace.kafka.bootstrap-servers",
                broker.bootstrap(),
                "millrace.router.placement",
                policy,
                "millrace.worker.count",
                workers,
                "millrace.worker.models[0]",
                MODEL,
                "millrace.worker.engine",
                "mock",
                "millrace.worker.mock-step",
                "5ms",
                "millrace.worker.mock-row",
                rowMicros + "us",
                "millrace.worker.kv-memory",
                (long) MOCK_ENTRY_BYTES * prefixTokens * cachedPrefixes + "B");
    }

    private LoadResult load(OpenAiStream server, int count, long seed) throws InterruptedException {
        LoadResult load = new LoadResult(1_000, 100);
        SplittableRandom random = new SplittableRandom(seed);
        String[] prompts = new String[count];
        for (int i = 0; i < count; i++) {
            prompts[i] = prompt(random.nextInt(prefixes), seed + "." + i);
        }
        OpenLoop.run(count, rate, seed, PATIENCE_S, load, i -> server.run(prompts[i], 16, i));
        return load;
    }

    private String prompt(int prefix, String own) {
        StringBuilder text = new StringBuilder();
        SplittableRandom letters = new SplittableRandom(prefix);
        while (text.length() < prefixTokens) {
            text.append((char) ('a' + letters.nextInt(26)));
        }
        return text + " Question " + own + " is short.";
    }

    private static Cached cached(int port) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            String metrics = client.send(
                            HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/actuator/prometheus"))
                                    .build(),
                            HttpResponse.BodyHandlers.ofString())
                    .body();
            return new Cached(
                    sum(metrics, "millrace_prefix_cache_queries_total"),
                    sum(metrics, "millrace_prefix_cache_hits_total"));
        }
    }

    private static double sum(String metrics, String name) {
        return metrics.lines()
                .filter(line -> line.startsWith(name))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .sum();
    }

    private boolean report(PrintWriter print, Map<String, Outcome> outcomes, ObjectNode all) {
        ObjectNode served = all.putObject("served")
                .put("workers", workers)
                .put("prefixes", prefixes)
                .put("prefix_tokens", prefixTokens)
                .put("cached_prefixes_a_worker", cachedPrefixes)
                .put("row_us", rowMicros)
                .put("requests", requests)
                .put("requests_per_s", rate);
        print.printf("%-14s %9s %9s %9s %9s%n", "", "ttft p50", "ttft p99", "hit rate", "failed");
        boolean failed = false;
        for (Map.Entry<String, Outcome> each : outcomes.entrySet()) {
            LoadResult load = each.getValue().load();
            failed |= load.failed() > 0;
            print.printf(
                    "%-14s %9.1f %9.1f %9.3f %9d%n",
                    each.getKey(),
                    load.firstMs(50),
                    load.firstMs(99),
                    each.getValue().hitRate(),
                    load.failed());
            served.putObject(each.getKey().replace('-', '_'))
                    .put("ttft_p50_ms", load.firstMs(50))
                    .put("ttft_p99_ms", load.firstMs(99))
                    .put("hit_rate", each.getValue().hitRate())
                    .put("ok", load.ok())
                    .put("failed", load.failed());
        }
        Outcome cost = outcomes.values().iterator().next();
        for (Map.Entry<String, Outcome> each : outcomes.entrySet()) {
            if (each.getValue() == cost) {
                continue;
            }
            double p50 = each.getValue().load().firstMs(50) / cost.load().firstMs(50);
            double p99 = each.getValue().load().firstMs(99) / cost.load().firstMs(99);
            double hits = cost.hitRate() / Math.max(1e-9, each.getValue().hitRate());
            print.printf(
                    "cost against %s: first token %.2f times as soon (p50), %.2f times (p99), %.2f times the hits%n",
                    each.getKey(), p50, p99, hits);
            served.putObject("against_" + each.getKey().replace('-', '_'))
                    .put("ttft_p50_ratio", p50)
                    .put("ttft_p99_ratio", p99)
                    .put("hit_rate_ratio", hits);
        }
        return failed;
    }
}
