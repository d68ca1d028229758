package io.millrace.gateway.parse;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Gathers characters of one kind to pieces, and counts calls. Not thread-safe. */
final class Pieces {

    private enum Kind {
        CONTENT,
        REASONING,
        ARGUMENTS
    }

    private final Set<String> functions;
    private final boolean single;
    private final StringBuilder piece = new StringBuilder();
    private Kind kind = Kind.CONTENT;
    private int calls;
    private @Nullable OutputSink sink;

    /**
     * @param functions names that may be called
     * @param single calls after the first are dropped
     */
    Pieces(Set<String> functions, boolean single) {
        this.functions = Set.copyOf(functions);
        this.single = single;
    }

    /** Where pieces go until the next flush. */
    void to(OutputSink next) {
        sink = next;
    }

    boolean isFunction(String name) {
        return functions.contains(name);
    }

    /** Calls so far. */
    int calls() {
        return calls;
    }

    void content(char c) {
        append(Kind.CONTENT, c);
    }

    void content(CharSequence text) {
        for (int i = 0; i < text.length(); i++) {
            append(Kind.CONTENT, text.charAt(i));
        }
    }

    void reasoning(char c) {
        append(Kind.REASONING, c);
    }

    void call(String name) {
        flush();
        if (!dropped(calls) && sink != null) {
            sink.call(calls, name);
        }
        calls++;
    }

    void arguments(char c) {
        append(Kind.ARGUMENTS, c);
    }

    void arguments(CharSequence text) {
        for (int i = 0; i < text.length(); i++) {
            append(Kind.ARGUMENTS, text.charAt(i));
        }
    }

    private boolean dropped(int index) {
        return single && index > 0;
    }

    private void append(Kind next, char c) {
        if (next != kind) {
            flush();
            kind = next;
        }
        piece.append(c);
    }

    /** Hands on what is gathered. */
    void flush() {
        if (piece.isEmpty() || sink == null) {
            return;
        }
        String text = piece.toString();
        piece.setLength(0);
        switch (kind) {
            case CONTENT -> sink.content(text);
            case REASONING -> sink.reasoning(text);
            case ARGUMENTS -> {
                if (!dropped(calls - 1)) {
                    sink.arguments(calls - 1, text);
                }
            }
        }
    }
}
