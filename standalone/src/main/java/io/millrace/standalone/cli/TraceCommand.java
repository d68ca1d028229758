package io.millrace.standalone.cli;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.trace.RequestTrace;
import io.millrace.standalone.config.AllProperties;
import io.millrace.standalone.config.KafkaProperties;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
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

    @Option(
            names = "--kafka",
            paramLabel = "HOST:PORT",
            description = "Where Kafka is (default 127.0.0.1:9092, where 'up' has it).")
    private @Nullable String kafka;

    @Option(
            names = "--patience",
            paramLabel = "SECONDS",
            defaultValue = "60",
            description = "How long reading a partition may take (default ${DEFAULT-VALUE}).")
    private int patienceSeconds;

    @Mixin
    private CommonOptions common = new CommonOptions();

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() throws InterruptedException {
        RequestId request = RequestTrace.parse(id);
        Map<String, Object> flags = new LinkedHashMap<>(common.properties());
        if (kafka != null) {
            flags.put("millrace.kafka.bootstrap-servers", kafka);
        }
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource("flags", flags));
        AllProperties.unknown().check(environment);
        KafkaProperties properties = Binder.get(environment).bindOrCreate("millrace.kafka", KafkaProperties.class);
        PrintWriter out = spec.commandLine().getOut();
        try (KafkaLog log = new KafkaLog(properties.settings("trace"))) {
            new RequestTrace(log, Duration.ofSeconds(patienceSeconds))
                    .lines(request)
                    .forEach(out::println);
        }
        return 0;
    }
}
