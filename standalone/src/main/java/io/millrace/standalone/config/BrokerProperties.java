package io.millrace.standalone.config;

import io.millrace.standalone.broker.BrokerSettings;
import java.nio.file.Path;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * The embedded broker.
 *
 * @param host address it listens on
 * @param port of its clients; 0 takes a free one
 * @param advertisedHost host that clients are told to connect to; empty: the host, or 127.0.0.1 when that is a wildcard
 * @param minFreeDisk it does not start with less free disk
 */
@ConfigurationProperties("millrace.broker")
public record BrokerProperties(
        @DefaultValue("127.0.0.1") String host,
        @DefaultValue("9092") int port,
        @DefaultValue("") String advertisedHost,
        @DefaultValue("256MB") DataSize minFreeDisk) {

    public BrokerSettings settings(Path dataDir) {
        return new BrokerSettings(dataDir.resolve("kafka"), host, port, advertisedHost, minFreeDisk.toBytes());
    }
}
