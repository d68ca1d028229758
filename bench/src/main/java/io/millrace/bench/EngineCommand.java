package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvType;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench engine}: models of random weights in our kernels and in llama.cpp, in turn, on the same file and as many
 * threads.
 */
@Command(
        name = "engine",
        description = "Whole models of random weights: ours, and llama.cpp with --peer, in turn on the same file.",
        sortOptions = false)
final class EngineCommand implements Callable<Integer> {

    private static final String OURS = "millrace";

    @Option(names = "--shape", split = ",", defaultValue = "135M,0.5B,1B", description = "Default ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private List<String> shapes;

    @Option(
            names = "--type",
            split = ",",
            defaultValue = "Q4_0,Q4_1,Q4_K_M,Q8_0,BF16",
            description = "Default ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private List<String> types;

    @Option(
            names = "--work",
            split = ",",
            defaultValue = "one,streams",
            description = "one (prefill of 512, decode of one stream), streams (16 at once), long (8k);"
                    + " default ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private List<String> works;

    @Option(
            names = "--peer",
            split = ",",
            paramLabel = "[NAME=]FOLDER",
            description =
                    "With llama-bench and llama-batched-bench (default: MILLRACE_BENCH_PEER; without, ours alone).")
    private @Nullable List<String> peers;

    @Option(names = "--threads", description = "Of each contender (default: the processors).")
    private @Nullable Integer threadsWanted;

    @Option(names = "--rounds", defaultValue = "5", description = "Samples of each (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--chunk",
            defaultValue = "512",
            description = "Rows of a prefill's step (default ${DEFAULT-VALUE}).")
    private int chunk;

    @Option(
            names = "--kv",
            defaultValue = "f16",
            description = "Type of our KV cache (default ${DEFAULT-VALUE}, which is llama.cpp's).")
    @SuppressWarnings("NullAway.Init")
    private String kv;

    @Option(
            names = "--models",
            paramLabel = "DIR",
            description = "Where the models are made (default target/bench-models).")
    private @Nullable Path models;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws IOException {
        int threads = threadsWanted == null ? Runtime.getRuntime().availableProcessors() : threadsWanted;
        if (threads < 1 || rounds < 1 || rounds > 1000 || chunk < 1) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--threads " + threads + " and --chunk " + chunk + " must be 1 or more, --rounds " + rounds
                            + " in 1..1,000.");
        }
        List<BenchShape> shapesWanted = shapes.stream().map(BenchShape::of).toList();
        List<WeightMix> mixes = types.stream().map(WeightMix::of).toList();
        List<EngineWork> worksWanted = works.stream().map(EngineWork::of).toList();
        List<LlamaPeer> contenders = peerFolders().stream().map(LlamaPeer::new).toList();
        PrintWriter print = output.print();
        if (contenders.isEmpty()) {
            print.println("No peer: give its folder with --peer or MILLRACE_BENCH_PEER. Ours alone.");
        }
        MachineProbe probe = new MachineProbe(threads);
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "engine")
                .put("command", output.command())
                .put("threads", threads)
                .put("rounds", rounds)
                .put("prefill_chunk", chunk)
                .put("kv", kv);
        ArrayNode table = all.putArray("results");
        for (BenchShape shape : shapesWanted) {
            for (WeightMix mix : mixes) {
                Path file = RandomGguf.in(modelFolder(), shape, mix);
                for (EngineWork work : worksWanted) {
                    Map<String, Contest> contests = measure(file, work, threads, contenders, probe, all);
                    for (String rate : work.rates()) {
                        report(
                                print,
                                shape,
                                mix,
                                rate,
                                Objects.requireNonNull(contests.get(rate)),
                                contenders,
                                Files.size(file),
                                table.addObject());
                    }
                }
            }
        }
        output.write("engine", all);
        return 0;
    }

    private List<String> peerFolders() {
        if (peers != null) {
            return peers;
        }
        String named = System.getenv().getOrDefault("MILLRACE_BENCH_PEER", "");
        return named.isBlank() ? List.of() : List.of(named.split(","));
    }

    private Path modelFolder() {
        return models != null
                ? models
                : Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."), "target", "bench-models");
    }

    private Map<String, Contest> measure(
            Path file, EngineWork work, int threads, List<LlamaPeer> contenders, MachineProbe probe, ObjectNode all) {
        Map<String, Contest> contests = new HashMap<>();
        work.rates().forEach(rate -> contests.put(rate, new Contest()));
        try (ModelSteps ours = ModelSteps.load(file, threads, work.streams * (work.room() + 16), KvType.of(kv))) {
            all.put("numerics", ours.numerics());
            ours.prefill(Math.min(work.prompt, chunk), chunk);
            ours.decode(1, 0, 8, work.room());
            MachineProbe.Sample before = probe.look();
            for (int round = 0; round < rounds; round++) {
                Map<String, Double> rates = ours(ours, work);
                MachineProbe.Sample after = probe.look();
                add(contests, OURS, rates, before.and(after));
                before = after;
                for (LlamaPeer peer : contenders) {
                    rates = peer.rates(file, work, threads);
                    after = probe.look();
                    add(contests, peer.name(), rates, before.and(after));
                    before = after;
                }
            }
        }
        return contests;
    }

    private Map<String, Double> ours(ModelSteps model, EngineWork work) {
        int room = work.room();
        int tokens = work.streams * work.prompt;
        double prefill = work.streams == 1
                ? model.prefill(work.prompt, chunk)
                : model.fill(work.streams, work.prompt, chunk, room);
        int context = work == EngineWork.ONE ? 0 : work.prompt;
        double decode = model.decode(work.streams, context, work.tokens, room);
        return Map.of(work.prefill, tokens / prefill, work.decode, work.streams * work.tokens / decode);
    }

    private static void add(
            Map<String, Contest> contests, String who, Map<String, Double> rates, MachineProbe.Sample machine) {
        contests.forEach((rate, contest) -> contest.add(who, rates.getOrDefault(rate, Double.NaN), machine));
    }

    private static void report(
            PrintWriter print,
            BenchShape shape,
            WeightMix mix,
            String rate,
            Contest contest,
            List<LlamaPeer> contenders,
            long fileBytes,
            ObjectNode into) {
        Contest.Score ours = contest.score(OURS);
        into.put("shape", shape.name()).put("type", mix.name()).put("what", rate);
        into.put("least_read_gb_s", round(contest.leastReadGbS(), 1));
        put(into.putObject(OURS), ours);
        print.printf(
                "%-5s %-7s %-16s %9.1f tok/s (%d of %d)",
                shape.name(), mix, rate, ours.median(), ours.counted(), ours.taken());
        if (rate.equals(EngineWork.ONE.decode)) {
            double share = fileBytes * ours.median() / (ours.readGbS() * 1e9);
            into.put("share_of_read", round(share, 2));
            print.printf("  %.2f of the read bandwidth", share);
        }
        for (LlamaPeer peer : contenders) {
            Contest.Score score = contest.score(peer.name());
            put(into.putObject(peer.name()), score);
            into.put("ratio_to_" + peer.name(), round(ours.median() / score.median(), 2));
            print.printf(
                    "  %s %.1f (%d): %.2f x",
                    peer.name(), score.median(), score.counted(), ours.median() / score.median());
        }
        print.println();
        print.flush();
    }

    private static void put(ObjectNode into, Contest.Score score) {
        into.put("tokens_per_s", round(score.median(), 1))
                .put("samples_counted", score.counted())
                .put("samples", score.taken())
                .put("read_gb_s", round(score.readGbS(), 1));
    }

    private static double round(double value, int digits) {
        double scale = Math.pow(10, digits);
        return Math.round(value * scale) / scale;
    }
}
