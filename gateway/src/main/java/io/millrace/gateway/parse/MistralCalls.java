package io.millrace.gateway.parse;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Mistral's calls: {@code [TOOL_CALLS]} and an array of objects, or a name and its arguments. */
final class MistralCalls extends MarkedCalls {

    private static final List<String> MARKERS = List.of("[TOOL_CALLS]");

    MistralCalls(Pieces out) {
        super(out, MARKERS);
    }

    @Override
    Reader after(String marker) {
        return new MistralReader(out());
    }

    @Override
    @Nullable
    Reader next(char c) {
        return null;
    }

    @Override
    boolean expects(String marker) {
        return true;
    }

    @Override
    void interrupted() {}

    @Override
    String marker(int index) {
        return MARKERS.get(index);
    }
}
