package io.millrace.standalone.broker;

import java.nio.file.Path;

/**
 * How the embedded broker runs.
 *
 * @param dataDir its folder; made and formatted when it is new
 * @param host address it listens on, such as {@code 127.0.0.1} or {@code 0.0.0.0}
 * @param port of clients; 0: any free one
 * @param advertisedHost host that clients are told to connect to; empty: {@code host}, or {@code 127.0.0.1} when that is a
 *     wildcard
 * @param minFreeBytes the start is refused when the disk has less free
 * @param cluster that it is a node of
 */
public record BrokerSettings(
        Path dataDir, String host, int port, String advertisedHost, long minFreeBytes, BrokerCluster cluster) {

    /** 256 MiB. */
    public static final long MIN_FREE_BYTES = 256L << 20;

    /** A broker for this machine only. */
    public static BrokerSettings local(Path dataDir, int port) {
        return new BrokerSettings(dataDir, "127.0.0.1", port, "", MIN_FREE_BYTES, BrokerCluster.ALONE);
    }

    String clientHost() {
        if (!advertisedHost.isEmpty()) {
            return advertisedHost;
        }
        return host.equals("0.0.0.0") || host.equals("::") ? "127.0.0.1" : host;
    }
}
