package io.millrace.shared.net;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * TCP ports that are free now and that the system gives to nobody who does not name them.
 *
 * <p>A port that was bound as 0 and let go is one of the system's ephemeral ones: the next connection, of any process, may get it before it is bound
 * again. These lie below that range, so only another program that listens on a fixed port can be in the way. Thread-safe.
 */
public final class FreePort {
    private static final int LOWEST = 10_000;
    private static final int FEWEST = 2_000;
    private static final int TRIES = 200;
    private static final Path EPHEMERAL = Path.of("/proc/sys/net/ipv4/ip_local_port_range");

    private FreePort() {}

    /**
     * A port that is free on that host; null: on every address of this machine.
     *
     * @throws IOException if the host has no address here, or no free port was found
     */
    public static int on(@Nullable String host) throws IOException {
        return several(1, host).getFirst();
    }

    /**
     * Different ports, each free on that host; null: on every address of this machine.
     *
     * @throws IOException as {@link #on}
     */
    public static List<Integer> several(int count, @Nullable String host) throws IOException {
        InetAddress address = host == null ? null : InetAddress.getByName(host);
        int end = endOfFixed();
        int[] candidates = end - LOWEST < FEWEST
                ? new int[TRIES]
                : ThreadLocalRandom.current()
                        .ints(LOWEST, end)
                        .distinct()
                        .limit(TRIES)
                        .toArray();
        List<Integer> free = IntStream.of(candidates)
                .map(port -> bound(port, address))
                .filter(port -> port > 0)
                .distinct()
                .limit(count)
                .boxed()
                .toList();
        if (free.size() < count) {
            throw new IOException("of " + TRIES + " ports tried on " + (host == null ? "all addresses" : host) + ", "
                    + free.size() + " were free; " + count + " were wanted");
        }
        return free;
    }

    /**
     * Checks that a server may listen there now; connections of one before that linger do not count.
     *
     * @throws IOException if not
     */
    public static void check(String host, int port) throws IOException {
        try (ServerSocket probe = new ServerSocket()) {
            probe.setReuseAddress(true);
            probe.bind(new InetSocketAddress(host, port));
        }
    }

    /** The port if it could be bound (0: one of the system's choice), else 0. */
    private static int bound(int port, @Nullable InetAddress address) {
        try (ServerSocket probe = new ServerSocket(port, 1, address)) {
            return probe.getLocalPort();
        } catch (IOException taken) {
            return 0;
        }
    }

    /** Where the ephemeral ports begin: 49152 by RFC 6335 where the system does not say. */
    private static int endOfFixed() {
        try (InputStream range = Files.newInputStream(EPHEMERAL)) {
            String text = new String(range.readNBytes(64), StandardCharsets.US_ASCII);
            return Integer.parseInt(text.strip().split("\\s+")[0]);
        } catch (IOException | NumberFormatException unknown) {
            return 49_152;
        }
    }
}
