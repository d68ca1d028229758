package io.millrace.bench.chaos;

import io.millrace.bench.BenchOutput;
import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code millrace bench chaos}. */
@Command(
        name = "chaos",
        description =
                "Kills, pauses, cuts off and drains real processes under load; fails unless every answer equals the undisturbed one.",
        sortOptions = false)
public final class ChaosCommand implements Callable<Integer> {

    private static final String NAME = "alpha";

    @Option(
            names = "--faults",
            paramLabel = "N",
            defaultValue = "150",
            description = "How many (default ${DEFAULT-VALUE}); a few make the short form.")
    private int faults;

    @Option(
            names = "--minutes",
            defaultValue = "55",
            description = "After which no further fault is begun (default ${DEFAULT-VALUE}).")
    private int minutes;

    @Option(
            names = "--brokers",
            defaultValue = "3",
            description =
                    "Kafka brokers (default ${DEFAULT-VALUE}: replicated, of which any may die; 1: a single one).")
    private int brokers;

    @Option(names = "--routers", defaultValue = "2", description = "Routers (default ${DEFAULT-VALUE}).")
    private int routers;

    @Option(names = "--gateways", defaultValue = "2", description = "Gateways (default ${DEFAULT-VALUE}).")
    private int gateways;

    @Option(names = "--workers", defaultValue = "4", description = "Workers (default ${DEFAULT-VALUE}).")
    private int workers;

    @Option(
            names = "--model",
            paramLabel = "SPEC",
            defaultValue = "mock",
            description =
                    "mock (default), or a real one: then a few questions are asked undisturbed first, and every answer must equal those.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--seed", defaultValue = "1", description = "Of the order of faults (default ${DEFAULT-VALUE}).")
    private long seed;

    @Option(names = "--only", paramLabel = "TEXT", description = "Only faults whose name holds this, such as 'broker'.")
    private @Nullable String only;

    @Option(names = "--keep", paramLabel = "DIR", description = "Where logs and data are kept; default: nowhere.")
    private @Nullable Path keep;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws InterruptedException {
        PrintWriter print = output.print();
        boolean mock = model.equals("mock");
        ChaosSetup setup = new ChaosSetup(
                brokers,
                routers,
                gateways,
                workers,
                mock ? "mock:" + NAME : NAME + "=" + model,
                NAME,
                mock ? 100 : 0,
                4,
                mock ? 64 : 128);
        Questions questions = mock ? new Questions.Mock(NAME, seed, 30, 60) : Questions.Recorded.stories(24, 48);
        try {
            Path dir = keep == null ? Files.createTempDirectory("millrace-chaos-") : Files.createDirectories(keep);
            try {
                ChaosReport report = new ChaosRun(setup, questions, seed, 15, 60L * minutes, line -> {
                            print.println(line);
                            print.flush();
                        })
                        .run(dir.toAbsolutePath(), kinds -> ChaosRun.matrix(chosen(kinds), seed, faults));
                ChaosTable.print(report, print);
                output.write("chaos", ChaosTable.json(report));
                return report.violations().isEmpty() ? 0 : 1;
            } finally {
                if (keep == null) {
                    delete(dir);
                }
            }
        } catch (IOException | TimeoutException e) {
            throw new MillraceException(
                    "MR-BENCH-006",
                    "The cluster of the chaos run did not come up or go on (" + e.getMessage()
                            + "). Keep its logs with --keep DIR and look there.",
                    e);
        }
    }

    private List<FaultKind> chosen(List<FaultKind> kinds) {
        String text = only;
        List<FaultKind> chosen = text == null
                ? kinds
                : kinds.stream().filter(kind -> kind.words().contains(text)).toList();
        if (chosen.isEmpty()) {
            throw new MillraceException(
                    "MR-BENCH-007",
                    "No fault's name holds '" + text + "'. There are: "
                            + String.join(
                                    ", ", kinds.stream().map(FaultKind::words).toList()) + ".");
        }
        return chosen;
    }

    private static void delete(Path dir) throws IOException {
        try (Stream<Path> tree = Files.walk(dir)) {
            for (Path each : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(each);
            }
        }
    }
}
