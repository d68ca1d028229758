package io.millrace.bench.chaos;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Stands between one process and every broker, so that the process can be cut off. While it is cut, nothing passes and the connections stay
 * open, as when a network drops packets; afterwards what waited goes on. Thread-safe.
 *
 * <p>Brokers advertise {@code localhost}. The process has a file of hosts of its own that makes this another loopback address, on which
 * this listens under the brokers' ports.
 */
final class KafkaCut implements AutoCloseable {

    private static final int BUFFER = 64 * 1024;

    private final List<ServerSocket> servers = new ArrayList<>();
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private boolean cut;

    /** Throws an IOException where the system has no such address. */
    KafkaCut(InetAddress address, List<Integer> brokers) throws IOException {
        try {
            for (int port : brokers) {
                var server = new ServerSocket();
                servers.add(server);
                server.setReuseAddress(true);
                server.bind(new InetSocketAddress(address, port));
                Thread.ofVirtual().name("cut-" + port).start(() -> accept(server, port));
            }
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    synchronized void cut() {
        cut = true;
    }

    synchronized void heal() {
        cut = false;
        notifyAll();
    }

    private synchronized void awaitOpen() throws InterruptedException {
        while (cut) {
            wait();
        }
    }

    private void accept(ServerSocket server, int port) {
        while (!server.isClosed()) {
            try {
                Socket client = server.accept();
                sockets.add(client);
                Thread.ofVirtual().start(() -> connect(client, port));
            } catch (IOException closed) {
                return;
            }
        }
    }

    private void connect(Socket client, int port) {
        try {
            awaitOpen();
            var broker = new Socket(InetAddress.getByAddress(new byte[] {127, 0, 0, 1}), port);
            sockets.add(broker);
            broker.setTcpNoDelay(true);
            client.setTcpNoDelay(true);
            Thread.ofVirtual().start(() -> pump(client, broker));
            pump(broker, client);
        } catch (IOException refused) {
            end(client);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void pump(Socket from, Socket to) {
        byte[] buffer = new byte[BUFFER];
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                awaitOpen();
                out.write(buffer, 0, read);
                out.flush();
            }
        } catch (IOException broken) {
            // Either side is gone: so is the other.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            end(from);
            end(to);
        }
    }

    private void end(Socket socket) {
        sockets.remove(socket);
        try {
            socket.close();
        } catch (IOException alreadyGone) {
            // Nothing left to do for it.
        }
    }

    @Override
    public void close() {
        for (ServerSocket server : servers) {
            try {
                server.close();
            } catch (IOException alreadyGone) {
                // Nothing left to do for it.
            }
        }
        heal();
        List.copyOf(sockets).forEach(this::end);
    }
}
