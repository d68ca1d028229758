package io.millrace.router.node;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A TCP connection to each worker process, on which nothing is ever said: when the process dies, the connection breaks within milliseconds.
 * A broken one is tried once more before it counts, since networks break connections too. A suspicion may be wrong: heartbeats take it back.
 * Thread-safe.
 */
final class LivenessConnections implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(LivenessConnections.class);
    private static final int CONNECT_MS_MAX = 500;

    /** Hears of lost processes, on a thread of this class. */
    interface Listener {
        void onLost(String worker, long incarnation);
    }

    private record Process(String worker, long incarnation) {}

    private final Listener listener;
    private final Map<Process, Holder> holders = new ConcurrentHashMap<>();
    private volatile boolean closed;

    LivenessConnections(Listener listener) {
        this.listener = listener;
    }

    /** Connects in the background; {@code address} is {@code host:port}. */
    void connect(String worker, long incarnation, String address) {
        int colon = address.lastIndexOf(':');
        int port;
        try {
            port = Integer.parseInt(address.substring(colon + 1));
        } catch (NumberFormatException e) {
            LOG.warn("worker {} names no liveness address: {}", worker, address);
            return;
        }
        var process = new Process(worker, incarnation);
        var holder = new Holder(process, address.substring(0, Math.max(0, colon)), port);
        if (!closed && holders.putIfAbsent(process, holder) == null) {
            Thread.ofVirtual().name("liveness-" + worker).start(holder::hold);
        }
    }

    void disconnect(String worker, long incarnation) {
        Holder holder = holders.remove(new Process(worker, incarnation));
        if (holder != null) {
            holder.close();
        }
    }

    @Override
    public void close() {
        closed = true;
        holders.values().forEach(Holder::close);
        holders.clear();
    }

    private final class Holder {

        private final Process process;
        private final String host;
        private final int port;
        private volatile Socket socket = new Socket();
        private volatile boolean unwanted;

        Holder(Process process, String host, int port) {
            this.process = process;
            this.host = host;
            this.port = port;
        }

        /** Until it is closed, or the process is not to be reached twice in a row. */
        void hold() {
            boolean reached = true;
            while (reached && !unwanted) {
                reached = listen();
            }
            if (!unwanted && holders.remove(process, this)) {
                LOG.debug("worker {}: its liveness connection to {}:{} is gone", process.worker(), host, port);
                listener.onLost(process.worker(), process.incarnation());
            }
        }

        /** Connects and waits for the end; false when it could not connect. */
        private boolean listen() {
            boolean connected = false;
            try (Socket next = new Socket()) {
                socket = next;
                next.connect(new InetSocketAddress(host, port), CONNECT_MS_MAX);
                next.setKeepAlive(true);
                connected = true;
                while (!unwanted && next.getInputStream().read() >= 0) {
                    // Workers say nothing.
                }
            } catch (IOException e) {
                LOG.debug("liveness of {}: {}", process.worker(), e.toString());
            }
            return connected;
        }

        void close() {
            unwanted = true;
            try {
                socket.close();
            } catch (IOException e) {
                LOG.debug("closing a liveness connection: {}", e.toString());
            }
        }
    }
}
