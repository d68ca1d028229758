package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Our server and llama.cpp's on the same model file, each a process of its own, measured round by round in turn: the one that is not measured
 * is stopped, since it may spin. Both get the same requests, after the same warm-up.
 */
final class ServeTurns {

    private static final String CLIENT = "client";
    private static final long BACK_S_MAX = 60;

    private final ServeLoad load;
    private final int rounds;
    private final PrintWriter print;
    private final MachineProbe probe = new MachineProbe(Runtime.getRuntime().availableProcessors());

    /** One side and what it did. */
    private static final class Side {

        final ServedFile server;
        final OpenAiStream client;
        final LoadResult all;
        final Map<String, Long> nanos = new TreeMap<>();
        final List<Double> rates = new ArrayList<>();
        final List<Double> first50 = new ArrayList<>();
        final List<Double> first99 = new ArrayList<>();

        Side(ServedFile server, LoadResult all) {
            this.server = server;
            this.client = OpenAiStream.connectingAnew(server.url(), server.model(), null);
            this.all = all;
        }

        static double median(List<Double> values) {
            return Contest.median(values.stream().mapToDouble(Double::doubleValue));
        }
    }

    ServeTurns(ServeLoad load, int rounds, PrintWriter print) {
        this.load = load;
        this.rounds = rounds;
        this.print = print;
    }

    /**
     * Measures and prints.
     *
     * @param llama folder of llama.cpp's server; null: ours alone
     * @return requests that failed, of either side
     */
    int measure(Path file, @Nullable Path llama, ObjectNode into) throws IOException, InterruptedException {
        Path dir = Files.createTempDirectory("millrace-serve");
        Path model = file.toAbsolutePath().normalize();
        try (ServedFile server = ServedFile.millrace(model, dir)) {
            Side ours = ready(server);
            if (llama == null) {
                print.println("No peer: give its folder with --llama or MILLRACE_BENCH_PEER. Ours alone.");
                return measure(List.of(ours), into);
            }
            int streams = Math.max(1, load.streams());
            try (ServedFile peer = ServedFile.llama(llama, model, streams, load.context(), dir)) {
                return measure(List.of(ours, ready(peer)), into);
            }
        } finally {
            BenchSystem.delete(dir);
        }
    }

    private int measure(List<Side> sides, ObjectNode into) throws IOException, InterruptedException {
        Contest contest = new Contest();
        rounds(sides, contest, into.putArray("rounds_of_each"));
        report(sides, contest, into);
        return sides.stream().mapToInt(side -> side.all.failed()).sum();
    }

    /** One side, warmed up, that stands. */
    private Side ready(ServedFile server) throws IOException, InterruptedException {
        Side side = new Side(server, load.result());
        load.warmUp(side.client, server.url());
        server.pause();
        return side;
    }

    private void rounds(List<Side> sides, Contest contest, ArrayNode into) throws IOException, InterruptedException {
        ServeRow.head(print);
        MachineProbe.Sample before = probe.look();
        for (int round = 0; round < rounds; round++) {
            for (Side side : sides) {
                side.server.resume();
                back(side);
                LoadResult one = load.result();
                double seconds = round(side, round, one);
                side.server.pause();
                MachineProbe.Sample after = probe.look();
                MachineProbe.Sample machine = before.and(after);
                before = after;
                double rate = one.tokens() / seconds;
                contest.add(side.server.name(), rate, machine);
                side.rates.add(rate);
                side.first50.add(one.firstMs(50));
                side.first99.add(one.firstMs(99));
                side.all.add(one);
                ServeRow.print(print, side.server.name(), one, seconds);
                into.addObject()
                        .put("server", side.server.name())
                        .put("tokens_per_s", rate)
                        .put("ttft_p50_ms", one.firstMs(50))
                        .put("ttft_p99_ms", one.firstMs(99))
                        .put("inter_token_p50_ms", one.gapMs(50))
                        .put("failed", one.failed())
                        .put("read_gb_s", machine.readGbS())
                        .put("scaling", machine.scaling());
            }
        }
    }

    /** It answers again after it was stopped. */
    private void back(Side side) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(BACK_S_MAX);
        StreamTimes answer = side.client.run("Are you there?", 2, 1);
        while (!answer.ok() && System.nanoTime() < end) {
            TimeUnit.MILLISECONDS.sleep(100);
            answer = side.client.run("Are you there?", 2, 1);
        }
        if (!answer.ok()) {
            throw new MillraceException(
                    "MR-BENCH-003", side.server.name() + " does not go on after a pause: " + answer.error() + ".");
        }
    }

    private double round(Side side, int round, LoadResult into) throws InterruptedException {
        long self = ProcessHandle.current().pid();
        ProcessThreads server = side.server.threads();
        ProcessThreads client = ProcessThreads.of(self);
        double seconds = load.run(side.client, round, into);
        side.server
                .used(server, side.server.threads())
                .forEach((part, nanos) -> side.nanos.merge(part, nanos, Long::sum));
        ProcessThreads.of(self)
                .since(client, Map.of(), CLIENT)
                .forEach((part, nanos) -> side.nanos.merge(part, nanos, Long::sum));
        return seconds;
    }

    private void report(List<Side> sides, Contest contest, ObjectNode into) {
        for (Side side : sides) {
            Contest.Score score = contest.score(side.server.name());
            print.printf(
                    "%-12s %8.1f tok/s, median of %d rounds (%d of them on a whole machine), %.0f to %.0f; ttft p50 %.0f ms, p99 %.0f ms%n",
                    side.server.name(),
                    score.median(),
                    score.taken(),
                    score.counted(),
                    side.rates.stream().mapToDouble(x -> x).min().orElse(0),
                    side.rates.stream().mapToDouble(x -> x).max().orElse(0),
                    Side.median(side.first50),
                    Side.median(side.first99));
            ObjectNode one = into.putObject(side.server.name());
            one.put("tokens_per_s", score.median())
                    .put("rounds_counted", score.counted())
                    .put("ttft_p50_ms", Side.median(side.first50))
                    .put("ttft_p99_ms", Side.median(side.first99))
                    .put("ok", side.all.ok())
                    .put("failed", side.all.failed())
                    .put("prompt_tokens", side.all.promptTokens())
                    .put("cached_tokens", side.all.cachedTokens());
            processors(side, one.putObject("cpu_s_per_1000_tokens"));
        }
        if (sides.size() == 2) {
            Side ours = sides.getFirst();
            Side peer = sides.getLast();
            double ratio = contest.score(ours.server.name()).median()
                    / contest.score(peer.server.name()).median();
            double first50 = Side.median(ours.first50) / Side.median(peer.first50);
            double first99 = Side.median(ours.first99) / Side.median(peer.first99);
            print.printf("ratio: %.2f x its tokens/s, %.2f x its ttft p50, %.2f x its p99%n", ratio, first50, first99);
            into.put("ratio", ratio).put("ratio_ttft_p50", first50).put("ratio_ttft_p99", first99);
        }
        print.flush();
    }

    private void processors(Side side, ObjectNode into) {
        double thousands = side.all.tokens() / 1e3;
        double sum = side.nanos.values().stream().mapToLong(Long::longValue).sum();
        StringBuilder line = new StringBuilder("             processor seconds per 1,000 tokens:");
        side.nanos.entrySet().stream()
                .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
                .forEach(part -> {
                    double seconds = part.getValue() / 1e9 / thousands;
                    line.append(" %s %.3f (%.0f %%)".formatted(part.getKey(), seconds, 100 * part.getValue() / sum));
                    into.put(part.getKey(), seconds);
                });
        print.println(line);
    }
}
