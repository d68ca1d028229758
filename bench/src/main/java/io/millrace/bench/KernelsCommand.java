package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench kernels}: each product against the machine's ceilings, a roofline; of several instruction sets also a ladder, from the first
 * to the fastest.
 */
@Command(
        name = "kernels",
        description = "Single kernels against the read bandwidth and the arithmetic peak of the same run.",
        sortOptions = false)
final class KernelsCommand implements Callable<Integer> {

    @Option(
            names = "--type",
            split = ",",
            defaultValue = "Q4_0,Q4_1,Q5_0,Q8_0,Q4_K,Q5_K,Q6_K,BF16",
            description = "Default ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private List<String> types;

    @Option(
            names = "--isa",
            split = ",",
            defaultValue = "auto",
            description =
                    "auto, portable (the reference), avx2, avx512 (default ${DEFAULT-VALUE}); of several, the ladder.")
    @SuppressWarnings("NullAway.Init")
    private List<String> isas;

    @Option(names = "--threads", description = "Default: the processors.")
    private @Nullable Integer threadsWanted;

    @Option(names = "--rounds", defaultValue = "5", description = "Samples of each (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() {
        int threads = threadsWanted == null ? Runtime.getRuntime().availableProcessors() : threadsWanted;
        if (threads < 1 || rounds < 1 || rounds > 1000) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--threads " + threads + " must be 1 or more, --rounds " + rounds + " in 1..1,000.");
        }
        PrintWriter print = output.print();
        MachineProbe program = new MachineProbe(threads);
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "kernels")
                .put("command", output.command())
                .put("threads", threads)
                .put("rounds", rounds);
        ArrayNode table = all.putArray("results");
        print.printf("%-13s %-5s %5s %9s %9s %9s %9s%n", "isa", "type", "rows", "GB/s", "of read", "GOPS", "of peak");
        for (String isa : isas) {
            for (String type : types) {
                List<String> arguments = List.of("--products", type, "--isa", isa, "--rounds", "" + rounds);
                for (JsonNode line : program.run(arguments)) {
                    table.add(line);
                    print.printf(
                            "%-13s %-5s %5d %9.1f %9.2f %9.0f %9.2f%n",
                            line.path("isa").asString(),
                            line.path("type").asString(),
                            line.path("rows").asInt(),
                            line.path("gb_s").asDouble(),
                            line.path("share_of_read").asDouble(),
                            line.path("gops").asDouble(),
                            line.path("share_of_peak").asDouble());
                    print.flush();
                }
            }
        }
        if (isas.size() > 1) {
            KernelLadder ladder = KernelLadder.of(table);
            ladder.print(print);
            ladder.write(all.putArray("ladder"));
        }
        output.write("kernels", all);
        return 0;
    }
}
