package io.millrace.gateway.parse;

import org.jspecify.annotations.Nullable;

/** Reads {@code [name(key="value", other=[1, True]), …]}, and hands on the arguments as JSON. */
final class PythonReader implements Reader {

    private enum State {
        OPEN,
        ITEM,
        NAME,
        FIRST_KEY,
        KEY,
        VALUE,
        AFTER
    }

    private final Pieces out;
    private final StringBuilder word = new StringBuilder();
    private State state = State.OPEN;
    private @Nullable PythonValue value;
    private boolean first;
    private boolean committed;

    PythonReader(Pieces out) {
        this.out = out;
    }

    @Override
    public Status accept(char c) {
        if (state == State.VALUE && value != null) {
            return value(value, c);
        }
        if (MarkerScan.isWhite(c)) {
            return Status.MORE;
        }
        return switch (state) {
            case OPEN -> to(c == '[', State.ITEM);
            case ITEM, NAME -> name(c);
            case FIRST_KEY -> c == ')' ? close() : key(c);
            case KEY, VALUE -> key(c);
            case AFTER -> c == ']' ? Status.DONE : to(c == ',', State.ITEM);
        };
    }

    private Status to(boolean allowed, State next) {
        state = next;
        return allowed ? Status.MORE : Status.FAILED;
    }

    private Status name(char c) {
        if (isWord(c) || c == '.' || c == '-') {
            word.append(c);
            return to(true, State.NAME);
        }
        String name = word.toString();
        word.setLength(0);
        if (c != '(' || !out.isFunction(name)) {
            return Status.FAILED;
        }
        committed = true;
        first = true;
        out.call(name);
        out.arguments('{');
        return to(true, State.FIRST_KEY);
    }

    private Status key(char c) {
        if (isWord(c)) {
            word.append(c);
            return to(true, State.KEY);
        }
        if (c != '=' || word.isEmpty()) {
            return Status.FAILED;
        }
        out.arguments((first ? "\"" : ",\"") + word + "\":");
        word.setLength(0);
        first = false;
        value = new PythonValue(out::arguments);
        return to(true, State.VALUE);
    }

    private Status value(PythonValue current, char c) {
        if ((c == ',' || c == ')') && current.complete()) {
            value = null;
            return c == ',' ? to(true, State.KEY) : close();
        }
        return current.accept(c) ? Status.MORE : Status.FAILED;
    }

    private Status close() {
        out.arguments('}');
        committed = false;
        state = State.AFTER;
        return Status.CALL;
    }

    static boolean isWord(char c) {
        return c == '_' || c < 0x80 && Character.isLetterOrDigit(c);
    }

    @Override
    public boolean committed() {
        return committed;
    }
}
