package io.millrace.gateway.stream;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One message for each event, as WebSockets want it. */
public final class MessageFrames implements Frames<List<String>> {

    private final String suffix;
    private final After after;
    private List<String> messages = new ArrayList<>();
    private int size;
    private long lastOffset = NOWHERE;
    private int k;
    private long number = -1;

    /**
     * @param streamId lane of the connection, repeated in each event; null: none
     * @param after events that are left out
     */
    public MessageFrames(@Nullable String streamId, After after) {
        this.suffix = streamId == null
                ? "}"
                : new JsonText()
                        .object()
                        .field("stream_id", streamId)
                        .endObject()
                        .toString()
                        .replaceFirst("\\{", ",");
        this.after = after;
    }

    @Override
    public void event(long offset, @Nullable String type, CharSequence json) {
        k = offset == lastOffset ? k + 1 : 0;
        lastOffset = offset;
        number++;
        if (offset != NOWHERE && after.has(offset, k, number)) {
            return;
        }
        messages.add(json.subSequence(0, json.length() - 1) + suffix);
        size += json.length() + suffix.length() - 1;
    }

    @Override
    public void heartbeat() {}

    @Override
    public int size() {
        return size;
    }

    @Override
    public List<String> take() {
        List<String> taken = messages;
        messages = new ArrayList<>();
        size = 0;
        return taken;
    }
}
