package io.millrace.bench;

import java.io.PrintWriter;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/** The options that every measuring command has, its help among them, and where what it finds goes. A mixin. */
public final class BenchOutput {

    @Option(names = "--out", paramLabel = "DIR", description = "Where the JSON goes (default bench/results).")
    private @Nullable Path out;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec(Spec.Target.MIXEE)
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    /** For a person. */
    public PrintWriter print() {
        return spec.commandLine().getOut();
    }

    /** The command as it was given. */
    String command() {
        return "./millrace "
                + String.join(" ", spec.commandLine().getParseResult().originalArgs());
    }

    /** Writes the results of that name, and tells the person where. */
    public void write(String name, ObjectNode all) {
        print().println("Written to " + new Results().write(folder(), name, all));
    }

    /** Where results go. */
    Path folder() {
        return out == null ? Results.defaultFolder() : out;
    }
}
