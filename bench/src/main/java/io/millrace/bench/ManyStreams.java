package io.millrace.bench;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntFunction;

/**
 * A client of thousands of streams in one thread: sockets of the system's own, one selector, and a {@link StreamReader} each, so that what is
 * measured is the server. Open it, then {@link #run}; the arrivals are those of the last run.
 */
final class ManyStreams implements AutoCloseable {

    private static final int BUFFER_BYTES = 1 << 18;
    private static final int OFFSET_BITS = 44;

    private final InetSocketAddress server;
    private final IntFunction<String> bodies;
    private final Selector selector;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
    private final List<SocketChannel> channels = new ArrayList<>();
    private final Map<String, Integer> faults = new TreeMap<>();
    private long[] places = new long[1 << 16];
    private long[] arrivedMs = new long[1 << 16];
    private int arrivals;
    private int speaking;
    private long nowMs;

    /** One connection. */
    private final class Stream {
        final ByteBuffer request;
        final StreamReader reader = new StreamReader(this::event);

        Stream(int number) {
            byte[] body = bodies.apply(number).getBytes(StandardCharsets.UTF_8);
            byte[] head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: " + server.getHostString()
                            + "\r\nContent-Type: application/json\r\nX-Millrace-Event-Ids: true\r\nContent-Length: "
                            + body.length + "\r\n\r\n")
                    .getBytes(StandardCharsets.US_ASCII);
            request = ByteBuffer.allocate(head.length + body.length)
                    .put(head)
                    .put(body)
                    .flip();
        }

        private void event(int partition, long offset) {
            speaking += reader.texts() == 1 ? 1 : 0;
            if (arrivals == places.length) {
                places = Arrays.copyOf(places, 2 * arrivals);
                arrivedMs = Arrays.copyOf(arrivedMs, 2 * arrivals);
            }
            places[arrivals] = (long) partition << OFFSET_BITS | offset;
            arrivedMs[arrivals++] = nowMs;
        }
    }

    /** @param bodies the request of each stream, as JSON */
    ManyStreams(InetSocketAddress server, IntFunction<String> bodies) throws IOException {
        this.server = server;
        this.bodies = bodies;
        this.selector = Selector.open();
    }

    /** Opens more streams at that rate while it reads all; returns when each has had text, or after {@code patienceS}. */
    void open(int count, double perSecond, long patienceS) throws IOException {
        int most = channels.size() + count;
        long began = System.nanoTime();
        int before = channels.size();
        while (speaking < most && (System.nanoTime() - began) / 1_000_000_000 < patienceS) {
            int due = before + (int) ((System.nanoTime() - began) / 1e9 * perSecond);
            while (channels.size() < Math.min(most, due)) {
                connect(channels.size());
            }
            turn(5);
        }
    }

    private void connect(int number) throws IOException {
        SocketChannel channel = SocketChannel.open();
        channel.configureBlocking(false);
        boolean connected = channel.connect(server);
        channels.add(channel);
        channel.register(selector, connected ? SelectionKey.OP_WRITE : SelectionKey.OP_CONNECT, new Stream(number));
    }

    /** Reads all streams for that long; what arrived before is forgotten. */
    void run(long millis) throws IOException {
        arrivals = 0;
        long end = System.nanoTime() + millis * 1_000_000;
        while (System.nanoTime() < end) {
            turn(20);
        }
    }

    private void turn(long waitMs) throws IOException {
        selector.select(this::ready, waitMs);
    }

    private void ready(SelectionKey key) {
        Stream stream = (Stream) key.attachment();
        SocketChannel channel = (SocketChannel) key.channel();
        try {
            if (key.isConnectable() && channel.finishConnect()) {
                key.interestOps(SelectionKey.OP_WRITE);
            }
            if (key.isValid() && key.isWritable()) {
                channel.write(stream.request);
                if (!stream.request.hasRemaining()) {
                    key.interestOps(SelectionKey.OP_READ);
                }
            }
            if (key.isValid() && key.isReadable()) {
                buffer.clear();
                int read = channel.read(buffer);
                nowMs = System.currentTimeMillis();
                stream.reader.read(buffer.flip());
                if (read < 0 || stream.reader.done() || stream.reader.status() >= 300) {
                    fault(key, "ended, status " + stream.reader.status());
                }
            }
        } catch (IOException e) {
            fault(key, e.toString());
        }
    }

    private void fault(SelectionKey key, String what) {
        key.cancel();
        faults.merge(what, 1, Integer::sum);
    }

    /** Streams that have had text. */
    int speaking() {
        return speaking;
    }

    /** Streams that ended or broke, by how. */
    Map<String, Integer> faults() {
        return faults;
    }

    /** Events of the last run. */
    int arrivals() {
        return arrivals;
    }

    /** Partition, offset and time of an event of the last run. */
    int partition(int arrival) {
        return (int) (places[arrival] >>> OFFSET_BITS);
    }

    long offset(int arrival) {
        return places[arrival] & (1L << OFFSET_BITS) - 1;
    }

    long arrivedMs(int arrival) {
        return arrivedMs[arrival];
    }

    @Override
    public void close() throws IOException {
        for (SocketChannel each : channels) {
            each.close();
        }
        selector.close();
    }
}
