package io.millrace.gateway.parse;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Qwen's and Hermes' calls: {@code <tool_call>}, one object or several, {@code </tool_call>}. */
final class TaggedCalls extends MarkedCalls {

    private static final String OPEN = "<tool_call>";
    private static final String CLOSE = "</tool_call>";
    private static final List<String> MARKERS = List.of(OPEN, CLOSE);

    /** Inside a tag, behind its first call. */
    private boolean closing;

    TaggedCalls(Pieces out) {
        super(out, MARKERS);
    }

    @Override
    @Nullable
    Reader after(String marker) {
        closing = marker.equals(OPEN);
        return closing ? new CallReader(out()) : null;
    }

    @Override
    @Nullable
    Reader next(char c) {
        return closing && c == '{' ? new CallReader(out()) : null;
    }

    @Override
    boolean expects(String marker) {
        return closing || marker.equals(OPEN);
    }

    @Override
    void interrupted() {
        closing = false;
    }

    @Override
    String marker(int index) {
        return MARKERS.get(index);
    }
}
