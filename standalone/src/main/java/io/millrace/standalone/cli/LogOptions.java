package io.millrace.standalone.cli;

import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.standalone.config.AllProperties;
import io.millrace.standalone.config.KafkaProperties;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Flags of the commands that read the log themselves. */
final class LogOptions {

    @Option(
            names = "--kafka",
            paramLabel = "HOST:PORT",
            description = "Where Kafka is (default 127.0.0.1:9092, where 'up' has it).")
    private @Nullable String kafka;

    @Option(
            names = "--patience",
            paramLabel = "SECONDS",
            defaultValue = "60",
            description =
                    "How long reading a partition, or waiting for an answer, may take (default ${DEFAULT-VALUE}).")
    private int patienceSeconds;

    @Mixin
    private CommonOptions common = new CommonOptions();

    Duration patience() {
        return Duration.ofSeconds(patienceSeconds);
    }

    /** @param name that Kafka's client ids begin with */
    KafkaLog open(String name) {
        Map<String, Object> flags = new LinkedHashMap<>(common.properties());
        if (kafka != null) {
            flags.put("millrace.kafka.bootstrap-servers", kafka);
        }
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource("flags", flags));
        AllProperties.unknown().check(environment);
        KafkaProperties properties = Binder.get(environment).bindOrCreate("millrace.kafka", KafkaProperties.class);
        return new KafkaLog(properties.settings(name));
    }
}
