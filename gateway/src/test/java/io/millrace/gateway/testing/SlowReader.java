package io.millrace.gateway.testing;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** A client that asks for one stream and takes it by kilobytes, through a receive buffer of a few. Not thread-safe. */
public final class SlowReader implements AutoCloseable {

    private static final int BUFFER_BYTES = 4096;
    private static final int PATIENCE_MS = 20_000;

    private final Socket socket = new Socket();
    private final ByteArrayOutputStream raw = new ByteArrayOutputStream();

    /** Connects and asks for a stream whose events have ids. */
    public SlowReader(int port, String path, String body) throws IOException {
        // Before the connection, or the kernel would take tens of megabytes.
        socket.setReceiveBufferSize(BUFFER_BYTES);
        socket.connect(new InetSocketAddress("127.0.0.1", port));
        socket.setSoTimeout(PATIENCE_MS);
        String request = "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + "X-Millrace-Event-Ids: true\r\nContent-Length: " + body.getBytes(StandardCharsets.UTF_8).length
                + "\r\n\r\n" + body;
        socket.getOutputStream().write(request.getBytes(StandardCharsets.UTF_8));
    }

    /** Reads until so many events have come. */
    public void readEvents(int count) throws IOException {
        while (events().size() < count) {
            if (!readSome()) {
                throw new AssertionError("the stream ended after " + events().size() + " of " + count + " events");
            }
        }
    }

    /** Reads a kilobyte each millisecond until that is so, or the connection ends. */
    public void readSlowlyUntil(BooleanSupplier enough) throws IOException, InterruptedException {
        while (!enough.getAsBoolean() && readSome()) {
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }

    /** Reads what still comes until the connection ends. */
    public void drain() throws IOException {
        while (readSome()) {}
    }

    private boolean readSome() throws SocketTimeoutException {
        byte[] piece = new byte[1024];
        try {
            int count = socket.getInputStream().read(piece);
            raw.write(piece, 0, Math.max(0, count));
            return count >= 0;
        } catch (SocketTimeoutException late) {
            throw late;
        } catch (IOException reset) {
            return false;
        }
    }

    /** The events that came whole, without comments; each byte is a character. */
    public List<String> events() {
        String body = body();
        int whole = body.lastIndexOf("\n\n") + 2;
        return whole < 2 ? List.of() : eventsOf(body.substring(0, whole));
    }

    /** Events of a stream, each with its lines, without comments. */
    public static List<String> eventsOf(String body) {
        return List.of(body.split("(?<=\n\n)")).stream()
                .filter(event -> !event.startsWith(":"))
                .toList();
    }

    /** The body, as far as it came, of an answer in chunks. */
    private String body() {
        String answer = raw.toString(StandardCharsets.ISO_8859_1);
        var body = new StringBuilder();
        int headers = answer.indexOf("\r\n\r\n");
        int at = headers < 0 ? answer.length() : headers + 4;
        for (int end = answer.indexOf("\r\n", at); end >= 0; end = answer.indexOf("\r\n", at)) {
            int from = end + 2;
            int to = Math.min(answer.length(), from + Integer.parseInt(answer.substring(at, end), 16));
            body.append(answer, from, to);
            at = Math.min(answer.length(), to + 2);
        }
        return body.toString();
    }

    /** Whether the server closes the connection within 10 s: then it answers what is written with a reset. */
    public boolean isClosedByServer() throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (System.nanoTime() < deadline) {
            try {
                socket.getOutputStream().write('x');
            } catch (IOException reset) {
                return true;
            }
            TimeUnit.MILLISECONDS.sleep(20);
        }
        return false;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
