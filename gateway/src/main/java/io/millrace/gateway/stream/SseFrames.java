package io.millrace.gateway.stream;

import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), UTF-8.
 *
 * <p>The id of an event is {@code REQUEST.OFFSET.K}: event K of those that the record at that offset of the journal's
 * partition became.
 */
public final class SseFrames implements Frames<byte[]> {

    private final @Nullable String idPrefix;
    private final StringBuilder out = new StringBuilder(512);
    private long lastOffset = NOWHERE;
    private int k;

    /** @param request the request id that stands in the events' ids; null: events have none */
    public SseFrames(@Nullable String request) {
        this.idPrefix = request == null ? null : "id: " + request + ".";
    }

    @Override
    public void event(long offset, @Nullable String type, CharSequence json) {
        k = offset == lastOffset ? k + 1 : 0;
        lastOffset = offset;
        if (type != null) {
            out.append("event: ").append(type).append('\n');
        }
        if (idPrefix != null && offset != NOWHERE) {
            out.append(idPrefix).append(offset).append('.').append(k).append('\n');
        }
        out.append("data: ").append(json).append("\n\n");
    }

    @Override
    public void heartbeat() {
        out.append(": waiting\n\n");
    }

    @Override
    public int size() {
        return out.length();
    }

    @Override
    public byte[] take() {
        byte[] bytes = out.toString().getBytes(StandardCharsets.UTF_8);
        out.setLength(0);
        return bytes;
    }
}
