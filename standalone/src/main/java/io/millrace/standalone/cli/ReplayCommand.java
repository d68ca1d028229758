package io.millrace.standalone.cli;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.trace.RequestTrace;
import io.millrace.standalone.rerun.Replay;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code millrace replay}: runs a request of the log once more and compares the answers byte for byte. */
@Command(
        name = "replay",
        description =
                "Runs a request that stands in the log once more, with its seed and time, and compares ids, text, finish"
                        + " reason and log probabilities. Ends with 0 when they are equal, 3 when they differ, 4 when they"
                        + " cannot be compared. Needs Kafka, a router and a worker of the model.",
        sortOptions = false)
final class ReplayCommand implements Callable<Integer> {

    @Parameters(paramLabel = "ID", description = "Id of an answer (chatcmpl-..., cmpl-..., resp_...) or of a request.")
    @SuppressWarnings("NullAway.Init")
    private String id;

    @Mixin
    private LogOptions options = new LogOptions();

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() throws InterruptedException {
        RequestId request = RequestTrace.parse(id);
        try (KafkaLog log = options.open("replay")) {
            Replay.Said said = new Replay(log, options.patience()).run(request);
            said.lines().forEach(spec.commandLine().getOut()::println);
            return said.status();
        }
    }
}
