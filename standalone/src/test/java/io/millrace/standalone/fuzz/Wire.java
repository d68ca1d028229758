package io.millrace.standalone.fuzz;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A connection that sends any bytes, and reads HTTP's answers and WebSocket's frames. Not thread-safe. */
final class Wire implements AutoCloseable {

    static final int PATIENCE_MS = 30_000;
    private static final int HASTE_MS = 25;
    private static final int EVENTS_BYTES_MAX = 32 * 1024;

    /**
     * An answer.
     *
     * @param headers by their names in lower case
     * @param more whether the connection can be used again
     */
    record Answer(int status, Map<String, String> headers, String body, boolean more) {}

    /** A frame of a WebSocket. */
    record Frame(int opcode, byte[] payload) {}

    private final Socket socket;
    private final InputStream in;

    Wire(int port) throws IOException {
        socket = new Socket("127.0.0.1", port);
        socket.setTcpNoDelay(true);
        in = new BufferedInputStream(socket.getInputStream());
    }

    void send(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
    }

    /** As one that goes in the middle of everything: what it has not read is answered by a reset. */
    void vanish() throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    /** Nothing more is sent. */
    void half() throws IOException {
        socket.shutdownOutput();
    }

    /**
     * The next answer; null when the server closed the connection, or says nothing soon and need not.
     *
     * @throws SocketTimeoutException when one that must come does not
     */
    @Nullable
    Answer answer(boolean must, boolean head) throws IOException {
        socket.setSoTimeout(must ? PATIENCE_MS : HASTE_MS);
        int first;
        try {
            first = in.read();
        } catch (SocketTimeoutException silence) {
            if (must) {
                throw silence;
            }
            return null;
        } catch (IOException reset) {
            return null;
        }
        if (first < 0) {
            return null;
        }
        socket.setSoTimeout(PATIENCE_MS);
        String line = (char) first + line();
        if (!line.matches("HTTP/\\d\\.\\d [1-5]\\d\\d.*")) {
            throw new IOException("no status line: " + line);
        }
        int status = Integer.parseInt(line.substring(9, 12));
        Map<String, String> headers = new HashMap<>();
        for (String each = line(); !each.isEmpty(); each = line()) {
            int colon = each.indexOf(':');
            headers.put(
                    each.substring(0, colon).toLowerCase(Locale.ROOT),
                    each.substring(colon + 1).strip());
        }
        if (status == 100) {
            return answer(true, head);
        }
        boolean events = headers.getOrDefault("content-type", "").startsWith("text/event-stream");
        boolean none = head || status == 101 || status == 204 || status == 304;
        byte[] body = none ? new byte[0] : body(headers, events ? EVENTS_BYTES_MAX : Integer.MAX_VALUE);
        // A stream as long as that was not read to its end.
        boolean more =
                !headers.getOrDefault("connection", "").equals("close") && !(events && body.length >= EVENTS_BYTES_MAX);
        return new Answer(status, headers, new String(body, StandardCharsets.UTF_8), more && (none || framed(headers)));
    }

    private static boolean framed(Map<String, String> headers) {
        return headers.containsKey("content-length") || headers.containsKey("transfer-encoding");
    }

    private byte[] body(Map<String, String> headers, int most) throws IOException {
        var out = new ByteArrayOutputStream();
        if (headers.containsKey("content-length")) {
            out.writeBytes(in.readNBytes(Integer.parseInt(headers.get("content-length"))));
        } else if (headers.containsKey("transfer-encoding")) {
            int count = Integer.parseInt(line(), 16);
            while (count > 0 && out.size() < most) {
                out.writeBytes(in.readNBytes(count));
                line();
                count = out.size() < most ? Integer.parseInt(line(), 16) : 0;
            }
            if (out.size() < most) {
                line();
            }
        } else {
            out.writeBytes(in.readNBytes(most));
        }
        return out.toByteArray();
    }

    private String line() throws IOException {
        var line = new StringBuilder();
        for (int next = in.read(); next != '\n'; next = in.read()) {
            if (next < 0) {
                throw new IOException("the connection ended within a line: " + line);
            }
            line.append((char) next);
        }
        return line.toString().stripTrailing();
    }

    /** The next frame; null when the connection has ended, or nothing comes soon. */
    @Nullable
    Frame frame(boolean patient) throws IOException {
        socket.setSoTimeout(patient ? PATIENCE_MS : HASTE_MS);
        int first;
        try {
            first = in.read();
        } catch (IOException silenceOrReset) {
            return null;
        }
        if (first < 0) {
            return null;
        }
        socket.setSoTimeout(PATIENCE_MS);
        long length = in.read();
        if (length >= 126) {
            byte[] extended = in.readNBytes(length == 126 ? 2 : 8);
            length = 0;
            for (byte each : extended) {
                length = length << 8 | each & 0xff;
            }
        }
        return new Frame(first & 0x8f, in.readNBytes((int) length));
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
