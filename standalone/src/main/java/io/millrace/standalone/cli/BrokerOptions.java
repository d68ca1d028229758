package io.millrace.standalone.cli;

import io.millrace.standalone.config.AllProperties;
import io.millrace.standalone.config.BrokerProperties;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import picocli.CommandLine.Option;

/** Where the embedded broker listens. */
final class BrokerOptions {

    @Option(
            names = "--kafka-port",
            paramLabel = "PORT",
            description = "The broker's port (default 9092; 0: any free one).")
    private @Nullable Integer port;

    @Option(
            names = "--kafka-host",
            paramLabel = "HOST",
            description = "Address the broker listens on (default 127.0.0.1).")
    private @Nullable String host;

    @Option(names = "--advertised-host", paramLabel = "HOST", description = "Host that the broker's clients are told.")
    private @Nullable String advertised;

    /** From the flags, then those properties, then the environment. */
    BrokerProperties properties(Map<String, Object> others) {
        Map<String, Object> flags = new LinkedHashMap<>(others);
        put(flags, "millrace.broker.port", port);
        put(flags, "millrace.broker.host", host);
        put(flags, "millrace.broker.advertised-host", advertised);
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource("flags", flags));
        AllProperties.unknown().check(environment);
        return Binder.get(environment).bindOrCreate("millrace.broker", BrokerProperties.class);
    }

    private static void put(Map<String, Object> flags, String name, @Nullable Object value) {
        if (value != null) {
            flags.put(name, value);
        }
    }
}
