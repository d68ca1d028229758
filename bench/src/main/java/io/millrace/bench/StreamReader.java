package io.millrace.bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Reads one streamed answer as it comes in, byte by byte, keeping nothing but an unfinished line: its status, its partition (by the request's
 * id in the header), and the place in the log of each event with text (by its {@code id:}). Not thread-safe.
 */
final class StreamReader {

    /** Hears of each event with text. */
    interface Events {
        void event(int partition, long offset);
    }

    private static final int LINE_MAX = 512;
    private static final String STATUS = "HTTP/1.1 ";
    private static final String REQUEST = "x-request-id: ";
    private static final String CONTENT = "\"content\":\"";

    private final Events events;
    private byte[] line = new byte[128];
    private int length;
    private int status;
    private int partition = -1;
    private long offset = -1;
    private int texts;
    private boolean done;

    StreamReader(Events events) {
        this.events = events;
    }

    void read(ByteBuffer bytes) {
        while (bytes.hasRemaining()) {
            byte next = bytes.get();
            if (next == '\n') {
                line(new String(line, 0, length, StandardCharsets.ISO_8859_1));
                length = 0;
            } else if (next != '\r' && length < LINE_MAX) {
                if (length == line.length) {
                    line = java.util.Arrays.copyOf(line, 2 * length);
                }
                line[length++] = next;
            }
        }
    }

    private void line(String text) {
        if (text.startsWith("id:")) {
            String[] parts = text.substring(3).strip().split("-");
            offset = parts.length == 5 ? Long.parseLong(parts[2]) : -1;
        } else if (text.startsWith("data:")) {
            int at = text.indexOf(CONTENT);
            if (at >= 0 && text.length() > at + CONTENT.length() && text.charAt(at + CONTENT.length()) != '"') {
                texts++;
                events.event(partition, offset);
            }
            done |= text.endsWith("[DONE]");
        } else if (status == 0 && text.startsWith(STATUS)) {
            status = Integer.parseInt(text.substring(STATUS.length(), STATUS.length() + 3));
        } else if (partition < 0 && status < 300 && text.regionMatches(true, 0, REQUEST, 0, REQUEST.length())) {
            String id = text.substring(REQUEST.length()).strip();
            partition = Integer.parseInt(id.substring(id.length() - 36, id.length() - 32), 16);
        }
    }

    /** Of the answer; 0 before it has come. */
    int status() {
        return status;
    }

    /** Events with text so far. */
    int texts() {
        return texts;
    }

    boolean done() {
        return done;
    }
}
