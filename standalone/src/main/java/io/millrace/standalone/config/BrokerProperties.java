package io.millrace.standalone.config;

import io.millrace.standalone.broker.BrokerCluster;
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
 * @param node its id in a cluster of several
 * @param voters all nodes of the cluster, each as {@code ID@HOST:PORT} of its controller; empty: this broker is alone
 * @param cluster name of the cluster, the same on all nodes
 */
@ConfigurationProperties("millrace.broker")
public record BrokerProperties(
        @DefaultValue("127.0.0.1") String host,
        @DefaultValue("9092") int port,
        @DefaultValue("") String advertisedHost,
        @DefaultValue("256MB") DataSize minFreeDisk,
        @DefaultValue("1") int node,
        @DefaultValue("") String voters,
        @DefaultValue("millrace") String cluster) {

    /** A copy with that port. */
    public BrokerProperties withPort(int other) {
        return new BrokerProperties(host, other, advertisedHost, minFreeDisk, node, voters, cluster);
    }

    public BrokerSettings settings(Path dataDir) {
        return new BrokerSettings(
                dataDir.resolve("kafka"),
                host,
                port,
                advertisedHost,
                minFreeDisk.toBytes(),
                BrokerCluster.of(node, voters, cluster));
    }
}
