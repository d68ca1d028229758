package io.millrace.bench;

import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.http.HttpClient;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import org.HdrHistogram.Histogram;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
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
    /** So that all of it ends in about two minutes, however slow the machine is. */
    private static final long PATIENCE_S = 10;

    private static final long DECIDE_S_MAX = 12;
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

    @Mixin
    private final BenchOutput output = new BenchOutput();

    /** Prompt tokens looked up in the workers' prefix caches, and found there. */
    private record Cached(double queries, double hits) {

        double since(Cached before) {
            return (hits - before.hits) / Math.max(1, queries - before.queries);
        }
    }

    /** What became of a policy's requests; one without an answer in time has failed too. */
    private record Outcome(LoadResult load, int failed, double hitRate) {}

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = output.print();
        ObjectNode all = new Results().object().put("bench", "placement");
        decide(print, all.putObject("decisions"));
        Map<String, Outcome> outcomes = new LinkedHashMap<>();
        for (String policy : requests == 0 ? List.<String>of() : POLICIES) {
            Outcome outcome = serve(policy);
            outcomes.put(policy, outcome);
            if (outcomes.size() == 1) {
                print.printf("%-14s %9s %9s %9s %9s%n", "", "ttft p50", "ttft p99", "hit rate", "failed");
            }
            row(print, policy, outcome);
        }
        boolean failed = !outcomes.isEmpty() && report(print, outcomes, all);
        output.write("placement", all);
        return failed ? 1 : 0;
    }

    private void decide(PrintWriter print, ObjectNode into) {
        PlacementDecisions timed = new PlacementDecisions(decidingWorkers, OPEN_OF_ONE_ROUTER);
        timed.run(decisions / 2, DECIDE_S_MAX);
        timed.run(decisions, DECIDE_S_MAX);
        Histogram nanos = timed.decisionNanos;
        into.put("workers", decidingWorkers)
                .put("decisions", nanos.getTotalCount())
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
        print.flush();
    }

    private Outcome serve(String policy) throws IOException, InterruptedException {
        try (BenchSystem system = BenchSystem.start()) {
            String url = BenchSystem.url(system.add(EnumSet.allOf(Role.class), flags(policy)));
            OpenAiStream server = new OpenAiStream(url, MODEL, null);
            load(server, requests / 2, 1);
            Cached before = cached(url);
            LoadResult load = load(server, requests, 2);
            return new Outcome(load, requests - load.ok(), cached(url).since(before));
        }
    }

    private Map<String, Object> flags(String policy) {
        return Map.of(
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

    private static Cached cached(String url) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            PrometheusText metrics = PrometheusText.read(client, PrometheusText.at(url));
            return new Cached(
                    metrics.sum("millrace_prefix_cache_queries_total"),
                    metrics.sum("millrace_prefix_cache_hits_total"));
        }
    }

    private static void row(PrintWriter print, String policy, Outcome outcome) {
        print.printf(
                "%-14s %9.1f %9.1f %9.3f %9d%n",
                policy, outcome.load().firstMs(50), outcome.load().firstMs(99), outcome.hitRate(), outcome.failed());
        print.flush();
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
        boolean failed = false;
        for (Map.Entry<String, Outcome> each : outcomes.entrySet()) {
            LoadResult load = each.getValue().load();
            failed |= each.getValue().failed() > 0;
            served.putObject(each.getKey().replace('-', '_'))
                    .put("ttft_p50_ms", load.firstMs(50))
                    .put("ttft_p99_ms", load.firstMs(99))
                    .put("hit_rate", each.getValue().hitRate())
                    .put("ok", load.ok())
                    .put("failed", each.getValue().failed());
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
