package io.millrace.worker.journal;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.UnknownHostException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A TCP port to which routers stay connected. Nothing is ever sent: when this process dies, the operating system closes the connections,
 * and the routers know within milliseconds. Thread-safe.
 */
final class LivenessListener implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(LivenessListener.class);
    private static final int CONNECTIONS_MAX = 256;
    private static final int BACKLOG = 50;

    private final ServerSocket server;
    private final String host;
    private final Set<Socket> connections = ConcurrentHashMap.newKeySet();

    /**
     * Listens at once; port 0 takes a free one. Throws UncheckedIOException when the port is taken.
     *
     * @param host under which others reach it: it listens there alone when that is an address of this machine, else (empty, or one
     *     that leads here by some detour) on all
     */
    LivenessListener(String host, int port) {
        try {
            this.server = new ServerSocket(port, BACKLOG, own(host));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        this.host = host.isEmpty() ? ownAddress() : host;
        Thread.ofVirtual().name("worker-liveness").start(this::accept);
    }

    /** {@code host:port} as others reach it. */
    String address() {
        return host + ":" + server.getLocalPort();
    }

    /** That host's address when it is one of this machine; null: any. */
    private static @Nullable InetAddress own(String host) {
        if (host.isEmpty()) {
            return null;
        }
        try {
            InetAddress address = InetAddress.getByName(host);
            if (address.isLoopbackAddress() || NetworkInterface.getByInetAddress(address) != null) {
                return address;
            }
        } catch (IOException e) {
            LOG.debug("liveness host {}: {}", host, e.toString());
        }
        LOG.info("liveness host {} is no address of this machine: listening on all", host);
        return null;
    }

    /** Where it listens. */
    InetAddress bound() {
        return server.getInetAddress();
    }

    private static String ownAddress() {
        try {
            return InetAddress.getLocalHost().getHostAddress();
        } catch (UnknownHostException e) {
            return InetAddress.getLoopbackAddress().getHostAddress();
        }
    }

    private void accept() {
        while (!server.isClosed()) {
            try {
                Socket connection = server.accept();
                if (connections.size() >= CONNECTIONS_MAX) {
                    connection.close();
                    continue;
                }
                connections.add(connection);
                Thread.ofVirtual().start(() -> hold(connection));
            } catch (IOException e) {
                if (!server.isClosed()) {
                    LOG.debug("liveness listener: {}", e.toString());
                }
            }
        }
    }

    private void hold(Socket connection) {
        try (connection) {
            connection.setKeepAlive(true);
            while (connection.getInputStream().read() >= 0) {
                // Whatever a router says is not for us.
            }
        } catch (IOException e) {
            LOG.trace("liveness connection ended: {}", e.toString());
        } finally {
            connections.remove(connection);
        }
    }

    @Override
    public void close() {
        try {
            server.close();
            for (Socket connection : connections) {
                connection.close();
            }
        } catch (IOException e) {
            LOG.debug("closing the liveness listener: {}", e.toString());
        }
    }
}
