package io.millrace.gateway.stream;

import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), UTF-8; where wanted, each with the
 * {@link Cursor} behind it as its id.
 */
public final class SseFrames implements Frames<byte[]> {

    private final @Nullable String request;
    private final After after;
    private final StringBuilder out = new StringBuilder(512);
    private long req;
    private long begin;
    private long lastOffset = NOWHERE;
    private int k;
    private long number = -1;

    /** @param request the request id that the events' ids are for; null: events have none */
    public SseFrames(@Nullable String request) {
        this(request, After.NOTHING);
    }

    /** @param after events that are left out */
    public SseFrames(@Nullable String request, After after) {
        this.request = request;
        this.after = after;
    }

    @Override
    public void begin(long firstReq, long firstBegin) {
        req = firstReq;
        begin = firstBegin;
    }

    @Override
    public void event(long offset, @Nullable String type, CharSequence json) {
        k = offset == lastOffset ? k + 1 : 0;
        lastOffset = offset;
        number++;
        if (offset != NOWHERE && after.has(offset, k, number)) {
            return;
        }
        if (type != null) {
            out.append("event: ").append(type).append('\n');
        }
        if (request != null && offset != NOWHERE) {
            out.append("id: ")
                    .append(new Cursor(req, begin, offset, k).text(request))
                    .append('\n');
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
