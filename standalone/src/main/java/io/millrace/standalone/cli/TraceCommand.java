package io.millrace.standalone.cli;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.trace.RequestTrace;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code millrace trace}: one request's way and where its time went, from the log alone. */
@Command(
        name = "trace",
        description =
                "Prints where a request's time went, from its records in the log: admission, queue, attempts, fences, "
                        + "prefill, decode, stalls. Works while it runs and after; needs Kafka, but no part of Millrace.",
        sortOptions = false)
final class TraceCommand implements Callable<Integer> {

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
        PrintWriter out = spec.commandLine().getOut();
        try (KafkaLog log = options.open("trace")) {
            new RequestTrace(log, options.patience()).lines(request).forEach(out::println);
        }
        return 0;
    }
}
