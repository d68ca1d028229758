package io.millrace.bench;

import io.millrace.bench.chaos.ChaosCommand;
import io.millrace.standalone.cli.Subcommand;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code millrace bench}. */
@Command(
        name = "bench",
        description = "Measures: kernels, engine (whole models, and llama.cpp's),"
                + " load (to the first token), host (an engine's own work in a step), serve (load on any OpenAI-compatible server),"
                + " mixed (many kinds of request together and one by one), log (what the log costs), tracing (what that costs),"
                + " flood (one tenant's against another's first token),"
                + " placement (the router's choice of a worker: its time, and what it gains),"
                + " streams (thousands open at one gateway),"
                + " soak (a long load, and whether anything grows),"
                + " chaos (faults on real processes, and whether every answer stays whole),"
                + " scale (what a size asks of the log).",
        subcommands = {
            KernelsCommand.class,
            EngineCommand.class,
            LoadCommand.class,
            HostCommand.class,
            ServeCommand.class,
            MixedCommand.class,
            LogCommand.class,
            TracingCommand.class,
            FloodCommand.class,
            PlacementCommand.class,
            StreamsCommand.class,
            SoakCommand.class,
            ChaosCommand.class,
            ScaleCommand.class,
            TrainCommand.class
        },
        synopsisSubcommandLabel = "COMMAND")
public final class BenchCommand implements Subcommand {

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;
}
