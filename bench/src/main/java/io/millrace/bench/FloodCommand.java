package io.millrace.bench;

import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench flood}: what a tenant that sends far more than its quota does to others' time to first token. Two gateways, a
 * router, a worker with the mock model and a broker in this process; the flood goes to both gateways in turn.
 */
@Command(
        name = "flood",
        description =
                "One tenant at its quota, then at ten times its quota: what becomes of another's time to first token.",
        sortOptions = false)
final class FloodCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final long PATIENCE_S = 60;
    private static final int SECONDS_A_MINUTE = 60;
    private static final int WARM_UP_S = 5;

    @Option(
            names = "--quota",
            defaultValue = "1200",
            description = "Requests a minute of each tenant (default ${DEFAULT-VALUE}).")
    private int quota;

    @Option(names = "--times", defaultValue = "10", description = "The flood, in quotas (default ${DEFAULT-VALUE}).")
    private int times;

    @Option(
            names = "--others",
            defaultValue = "3",
            description =
                    "Tenants beside it, each at half its quota; their answers count together (default ${DEFAULT-VALUE}).")
    private int others;

    @Option(
            names = "--rounds",
            defaultValue = "1",
            description = "Each of alone, at quota, flooded, in turn (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "14",
            description = "Of each part of a round (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--max-tokens", defaultValue = "16", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--step-ms",
            defaultValue = "10",
            description = "What a step of the engine takes (default ${DEFAULT-VALUE}).")
    private int stepMs;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    private final AtomicInteger numbers = new AtomicInteger();

    /** What the other tenant does meanwhile, in quotas; and what both met. */
    private record Phase(String name, double quotas, LoadResult victim, LoadResult flood) {

        Phase(String name, double quotas) {
            this(name, quotas, new LoadResult(1_000, 100), new LoadResult(1_000, 100));
        }
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        try (BenchSystem system = BenchSystem.start()) {
            return measure(List.of(
                    system.add(EnumSet.allOf(Role.class), flags()), system.add(EnumSet.of(Role.GATEWAY), flags())));
        }
    }

    private Map<String, Object> flags() {
        Map<String, Object> flags = new HashMap<>(Map.of(
                "millrace.kafka.partitions",
                4,
                "millrace.kafka.slots",
                4,
                "millrace.gateway.api-keys.flood-key",
                "flood",
                "millrace.gateway.tenant-requests-per-minute",
                quota,
                "millrace.worker.models[0]",
                MODEL,
                "millrace.worker.engine",
                "mock",
                "millrace.worker.mock-step",
                stepMs + "ms"));
        for (int i = 0; i < others; i++) {
            flags.put("millrace.gateway.api-keys.other-key-" + i, "other-" + i);
        }
        return flags;
    }

    private Integer measure(List<PartsApplication> gateways) throws InterruptedException, IOException {
        PrintWriter print = output.print();
        List<OpenAiStream> victims = new ArrayList<>();
        for (int i = 0; i < others; i++) {
            for (PartsApplication each : gateways) {
                victims.add(new OpenAiStream(BenchSystem.url(each), MODEL, "other-key-" + i));
            }
        }
        List<OpenAiStream> floods = gateways.stream()
                .map(each -> new OpenAiStream(BenchSystem.url(each), MODEL, "flood-key"))
                .toList();
        List<Phase> phases = List.of(new Phase("alone", 0), new Phase("at quota", 0.9), new Phase("flooded", times));
        double victimRate = others * 0.5 * quota / SECONDS_A_MINUTE;
        // Warm: the code, and the connections.
        both(new Phase("warm-up", 0.9), victims, floods, victimRate, WARM_UP_S);
        both(new Phase("warm-up", times), victims, floods, victimRate, WARM_UP_S);
        for (int round = 0; round < rounds; round++) {
            for (Phase phase : phases) {
                if (phase.quotas() > 1) {
                    // Until its minute is used up it is within its quota: only then it is a flood.
                    int useUp = (int) Math.ceil(SECONDS_A_MINUTE / (phase.quotas() - 1)) + 1;
                    both(new Phase("use up", phase.quotas()), victims, floods, victimRate, useUp);
                }
                both(phase, victims, floods, victimRate, seconds);
            }
        }
        print.printf("%-10s %9s %9s %9s %9s %9s%n", "", "ttft p50", "ttft p99", "others", "let in", "refused");
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "flood")
                .put("gateways", gateways.size())
                .put("quota_per_minute", quota)
                .put("times", times)
                .put("rounds", rounds)
                .put("seconds", seconds)
                .put("others", others)
                .put("others_per_second", victimRate)
                .put("step_ms", stepMs)
                .put("max_tokens", maxTokens);
        for (Phase phase : phases) {
            print.printf(
                    "%-10s %9.2f %9.2f %9d %9d %9d%n",
                    phase.name(),
                    phase.victim().firstMs(50),
                    phase.victim().firstMs(99),
                    phase.victim().ok(),
                    phase.flood().ok(),
                    phase.flood().failed());
            all.putObject(phase.name().replace(' ', '_'))
                    .put("others_ttft_p50_ms", phase.victim().firstMs(50))
                    .put("others_ttft_p90_ms", phase.victim().firstMs(90))
                    .put("others_ttft_p99_ms", phase.victim().firstMs(99))
                    .put("others_ok", phase.victim().ok())
                    .put("others_failed", phase.victim().failed())
                    .put("flood_let_in", phase.flood().ok())
                    .put("flood_refused", phase.flood().failed());
        }
        double quiet = phases.get(1).victim().firstMs(99);
        double flooded = phases.get(2).victim().firstMs(99);
        double more = 100 * (flooded / quiet - 1);
        all.put("p99_change_percent", more)
                .put(
                        "p99_change_from_alone_percent",
                        100 * (flooded / phases.getFirst().victim().firstMs(99) - 1));
        print.printf("p99 of the other tenants, flooded against at quota: %+.1f %%%n", more);
        output.write("flood", all);
        boolean failed = phases.stream().anyMatch(phase -> phase.victim().failed() > 0);
        return failed ? 1 : 0;
    }

    private void both(Phase phase, List<OpenAiStream> victims, List<OpenAiStream> floods, double victimRate, int forS)
            throws InterruptedException {
        double floodRate = phase.quotas() * quota / SECONDS_A_MINUTE;
        Thread flood = Thread.ofPlatform().name("flood").start(() -> {
            if (floodRate > 0) {
                load(floods, floodRate, phase.flood(), forS);
            }
        });
        load(victims, victimRate, phase.victim(), forS);
        flood.join();
    }

    private void load(List<OpenAiStream> servers, double rate, LoadResult into, int forS) {
        try {
            OpenLoop.run(
                    (int) (rate * forS),
                    rate,
                    numbers.incrementAndGet(),
                    PATIENCE_S,
                    into,
                    i -> servers.get(i % servers.size())
                            .run(
                                    "Request " + numbers.incrementAndGet() + " asks for nothing but hashes.",
                                    maxTokens,
                                    i));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
