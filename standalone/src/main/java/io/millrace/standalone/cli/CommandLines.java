package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.ServiceLoader;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;

/** Puts the command line together and runs it. */
public final class CommandLines {

    private CommandLines() {}

    /**
     * Runs a command.
     *
     * @return exit status: 0 done, 1 a coded error, 2 wrong usage, 3 a device that was lost, as when a part loses it while it runs
     */
    public static int run(String[] args, PrintStream out, PrintStream err) {
        try {
            CommonOptions.logFormatOf(System.getenv(CommonOptions.LOG_FORMAT));
        } catch (MillraceException malformed) {
            err.println(malformed);
            return 1;
        }
        return create(out, err).execute(args);
    }

    /** All commands, those of other modules too. */
    public static CommandLine create(PrintStream out, PrintStream err) {
        CommandLine commands = new CommandLine(new MillraceCommand());
        for (Subcommand found : ServiceLoader.load(Subcommand.class)) {
            commands.addSubcommand(found);
        }
        commands.setOut(new PrintWriter(out, true, StandardCharsets.UTF_8));
        commands.setErr(new PrintWriter(err, true, StandardCharsets.UTF_8));
        commands.setUsageHelpAutoWidth(true);
        commands.setCaseInsensitiveEnumValuesAllowed(true);
        commands.setExecutionExceptionHandler((failure, command, parsed) -> {
            command.getErr().println(describe(failure));
            command.getErr().flush();
            return status(failure);
        });
        return commands;
    }

    /** Exit status of a command that failed: one of its own where a device was lost, while a model was loaded. */
    static int status(Throwable failure) {
        return coded(failure)
                .filter(coded -> coded.code().equals(ModelRuntime.DEVICE_LOST))
                .map(coded -> RunningProcess.LOST)
                .orElse(1);
    }

    private static Optional<MillraceException> coded(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof MillraceException coded) {
                return Optional.of(coded);
            }
        }
        return Optional.empty();
    }

    /** One line for a person: the coded error within, else the failure's own message, its trace only in the debug log. */
    static String describe(Throwable failure) {
        Optional<MillraceException> coded = coded(failure);
        if (coded.isPresent()) {
            return coded.get().toString();
        }
        LoggerFactory.getLogger(CommandLines.class).debug("failed", failure);
        Throwable root = failure;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return "[MR-MAIN-001] " + root.getClass().getSimpleName() + ": " + root.getMessage()
                + ". MILLRACE_LOG_LEVEL=DEBUG shows where.";
    }
}
