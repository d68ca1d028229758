package io.millrace.standalone.cli;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.trace.RequestTrace;
import io.millrace.standalone.rerun.DeadLetters;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code millrace dead-letters}: the requests that ended their workers, as the log has them. */
@Command(
        name = "dead-letters",
        description = "Lists, shows and retries requests that ended their workers; needs Kafka.",
        synopsisSubcommandLabel = "(list | show | retry)",
        subcommands = {DeadLettersCommand.ListAll.class, DeadLettersCommand.Show.class, DeadLettersCommand.Retry.class})
final class DeadLettersCommand {

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Says what there is.")
    private boolean help;

    /** What the three share. */
    abstract static class Reading implements Callable<Integer> {

        @Mixin
        private LogOptions options = new LogOptions();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        abstract List<String> lines(DeadLetters letters) throws InterruptedException;

        @Override
        public Integer call() throws InterruptedException {
            PrintWriter out = spec.commandLine().getOut();
            try (KafkaLog log = options.open("dead-letters")) {
                List<String> lines = lines(new DeadLetters(log, options.patience()));
                lines.forEach(out::println);
                if (lines.isEmpty()) {
                    out.println("There are no dead letters.");
                }
            }
            return 0;
        }
    }

    /** {@code millrace dead-letters list}. */
    @Command(name = "list", description = "Lists them, the oldest first.", sortOptions = false)
    static final class ListAll extends Reading {

        @Override
        List<String> lines(DeadLetters letters) throws InterruptedException {
            return letters.list();
        }
    }

    /** {@code millrace dead-letters show}. */
    @Command(name = "show", description = "Shows one.", sortOptions = false)
    static final class Show extends Reading {

        @Parameters(paramLabel = "ID", description = "As 'dead-letters list' shows it.")
        @SuppressWarnings("NullAway.Init")
        private String id;

        @Option(names = "--input", description = "Its messages or prompt too: they are a user's data.")
        private boolean input;

        @Override
        List<String> lines(DeadLetters letters) throws InterruptedException {
            RequestId request = RequestTrace.parse(id);
            return letters.show(request, input);
        }
    }

    /** {@code millrace dead-letters retry}. */
    @Command(
            name = "retry",
            description = "Runs one once more, as a request with an id of its own, and waits for its end; asked again,"
                    + " says what came of it. Needs a router and a worker of the model.",
            sortOptions = false)
    static final class Retry extends Reading {

        @Parameters(paramLabel = "ID", description = "As 'dead-letters list' shows it.")
        @SuppressWarnings("NullAway.Init")
        private String id;

        @Override
        List<String> lines(DeadLetters letters) throws InterruptedException {
            return letters.retry(RequestTrace.parse(id));
        }
    }
}
