package io.millrace.gateway.stream;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One message for each event, as WebSockets want it. */
public final class MessageFrames implements Frames<List<String>> {

    private List<String> messages = new ArrayList<>();
    private int size;

    @Override
    public void event(long offset, @Nullable String type, CharSequence json) {
        messages.add(json.toString());
        size += json.length();
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
