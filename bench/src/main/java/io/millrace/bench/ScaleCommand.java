package io.millrace.bench;

import com.google.protobuf.ByteString;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code millrace bench scale}: what the log must carry at a size that no single machine has, and what carries it. */
@Command(
        name = "scale",
        description = "Computes what a deployment of some size asks of Kafka: records, bytes, brokers, partitions.",
        sortOptions = false)
final class ScaleCommand implements Callable<Integer> {

    private static final long MEASURE_NANOS = 2_000_000_000L;
    private static final int STREAMS = 500;

    @Option(names = "--workers", defaultValue = "1000", description = "Workers (default ${DEFAULT-VALUE}).")
    private int workers;

    @Option(names = "--gateways", defaultValue = "100", description = "Gateways (default ${DEFAULT-VALUE}).")
    private int gateways;

    @Option(names = "--routers", defaultValue = "20", description = "Routers (default ${DEFAULT-VALUE}).")
    private int routers;

    @Option(
            names = "--tokens-per-s",
            defaultValue = "1000000",
            description = "Of all workers together (default ${DEFAULT-VALUE}).")
    private double tokensPerS;

    @Option(
            names = "--answer-tokens",
            defaultValue = "250",
            description = "Of a mean answer (default ${DEFAULT-VALUE}).")
    private int answerTokens;

    @Option(
            names = "--prompt-bytes",
            defaultValue = "2000",
            description = "Of a mean prompt (default ${DEFAULT-VALUE}).")
    private int promptBytes;

    @Option(
            names = "--stream-tokens-per-s",
            defaultValue = "20",
            description = "What one stream gets (default ${DEFAULT-VALUE}).")
    private double streamTokensPerS;

    @Option(
            names = "--broker-records-per-s",
            defaultValue = "270000",
            description = "What one broker takes, measured with records of 200 bytes (default ${DEFAULT-VALUE}).")
    private double brokerRecordsPerS;

    @Option(
            names = "--broker-mb-per-s",
            defaultValue = "1250",
            description = "What a broker's network carries each way (default ${DEFAULT-VALUE}: 10 Gbit/s).")
    private double brokerMbPerS;

    @Option(
            names = "--simulate",
            paramLabel = "SECONDS",
            defaultValue = "0",
            description = "Also run it for so long in virtual time, with the routers' real code; 0: do not.")
    private int simulateS;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws InterruptedException {
        if (workers < 1
                || gateways < 1
                || routers < 1
                || answerTokens < 1
                || !(tokensPerS > 0)
                || !(streamTokensPerS > 0)) {
            throw new MillraceException("MR-BENCH-002", "Numbers of parts, tokens and rates must be above zero.");
        }
        LogScale scale = new LogScale(
                workers,
                gateways,
                routers,
                tokensPerS,
                answerTokens,
                promptBytes,
                streamTokensPerS,
                5,
                3,
                2,
                brokerRecordsPerS,
                brokerMbPerS * 1e6,
                0.5);
        double folded = foldedPerS(MEASURE_NANOS);
        PrintWriter out = output.print();
        table(scale).forEach(out::println);
        out.printf(
                Locale.ROOT,
                "%nOne thread folds %,.0f records/s here: %d partitions of requests and responses; each router folds %,.0f/s, %.1f %% of a thread.%n",
                folded,
                scale.partitions(folded),
                scale.foldedByRouter(),
                100 * scale.foldedByRouter() / folded);
        if (simulateS > 0) {
            simulate(scale, scale.partitions(folded), out);
        }
        return 0;
    }

    private void simulate(LogScale scale, int partitions, PrintWriter out) throws InterruptedException {
        int threads = Runtime.getRuntime().availableProcessors();
        ScaleSimulation.Outcome outcome = new ScaleSimulation(scale, partitions).run(simulateS, threads);
        out.println();
        compared(outcome).forEach(out::println);
        out.printf(
                Locale.ROOT,
                "%n%,.0f streams, %,d assignments in %d s. A router takes %.2f of a thread (the busiest %.2f), all of them %.0f us for each assignment.%n",
                outcome.streams(),
                outcome.assignments(),
                simulateS,
                outcome.meanRouterCpuShare(),
                outcome.routerCpuShare(),
                outcome.cpuMicrosPerAssignment());
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "scale")
                .put("workers", workers)
                .put("gateways", gateways)
                .put("routers", routers)
                .put("tokens_per_s", tokensPerS)
                .put("seconds", simulateS)
                .put("streams", outcome.streams())
                .put("assignments", outcome.assignments())
                .put("router_threads_mean", outcome.meanRouterCpuShare())
                .put("router_threads_most", outcome.routerCpuShare())
                .put("router_us_per_assignment", outcome.cpuMicrosPerAssignment());
        ArrayNode lines = all.putArray("topics");
        for (ScaleSimulation.Line line : outcome.lines()) {
            lines.addObject()
                    .put("topic", line.topic())
                    .put("paper_per_s", line.paperPerS())
                    .put("simulated_per_s", line.countedPerS())
                    .put("paper_bytes", line.paperBytes())
                    .put("simulated_bytes", line.countedBytes());
        }
        output.write("scale", all);
    }

    /** What the paper says, what was counted, and the difference. */
    static List<String> compared(ScaleSimulation.Outcome outcome) {
        List<String> lines = new ArrayList<>();
        lines.add("| topic | records/s on paper | simulated | | bytes each on paper | simulated | |");
        lines.add("|---|---|---|---|---|---|---|");
        for (ScaleSimulation.Line line : outcome.lines()) {
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %,.0f | %,.0f | %+.1f %% | %,.0f | %,.0f | %+.1f %% |",
                    line.topic(),
                    line.paperPerS(),
                    line.countedPerS(),
                    100 * (line.countedPerS() / line.paperPerS() - 1),
                    line.paperBytes(),
                    line.countedBytes(),
                    100 * (line.countedBytes() / line.paperBytes() - 1)));
        }
        return lines;
    }

    /** The table of docs/scale.md. */
    static List<String> table(LogScale scale) {
        List<String> lines = new ArrayList<>();
        lines.add("| topic | records/s | bytes each | MB/s in | read by | MB/s out |");
        lines.add("|---|---|---|---|---|---|");
        for (LogScale.Row row : scale.rows()) {
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %,.0f | %,.0f | %,.1f | %,.0f | %,.1f |",
                    row.topic(),
                    row.recordsPerS(),
                    row.recordBytes(),
                    row.bytesPerS() / 1e6,
                    row.readers(),
                    row.bytesPerS() * row.readers() / 1e6));
        }
        lines.add(String.format(
                Locale.ROOT,
                "| all | %,.0f | | %,.1f | | %,.1f with copies |",
                scale.recordsPerS(),
                scale.bytesPerS() / 1e6,
                scale.readBytesPerS() / 1e6));
        lines.add("");
        lines.add(String.format(
                Locale.ROOT,
                "%,.0f requests/s, %,.0f streams open. %d brokers: %d for the records, %d for the bytes; %,.0f produce requests/s at each.",
                scale.requestsPerS(),
                scale.streams(),
                scale.brokers(),
                scale.brokersForRecords(),
                scale.brokersForBytes(),
                scale.producesPerBroker()));
        return lines;
    }

    /** Records a second that one thread parses and folds, as router and gateway do, of many streams at a time. */
    static double foldedPerS(long nanos) {
        List<byte[]> round = new ArrayList<>();
        long count = 0;
        long offset = 0;
        long first = 0;
        long spent = 0;
        var fold = new PartitionFold(JournalFold.Keep.IDS_AND_TEXT, 0, 64);
        while (spent < nanos) {
            round.clear();
            records(first, round);
            first += STREAMS;
            long began = System.nanoTime();
            for (byte[] value : round) {
                var folded = fold.apply(new LogRecord(Topic.RESPONSES, 0, offset++, 0, "", value));
                if (!folded.verdict().isAccepted()) {
                    throw new IllegalStateException("the fold does not take its own records: " + folded);
                }
            }
            spent += System.nanoTime() - began;
            count += round.size();
        }
        return count * 1e9 / spent;
    }

    private static void records(long first, List<byte[]> into) {
        int tokens = 50;
        for (int step = -2; step <= tokens; step++) {
            for (int s = 0; s < STREAMS; s++) {
                long req = first + s;
                String id = "0003a74fc1be2f9d7704d1e9%012d".formatted(req);
                ByteString aid = ByteString.copyFrom(
                        ByteBuffer.allocate(16).putLong(req).putLong(1).array());
                into.add((step == -2
                                ? LogScale.admit(id, req)
                                : step == -1
                                        ? LogScale.claim(id, req, aid)
                                        : step < tokens
                                                ? LogScale.tokens(id, req, aid, step)
                                                : LogScale.end(id, req, aid, tokens))
                        .toByteArray());
            }
        }
    }
}
