package io.millrace.gateway.parse;

import java.util.Set;

/**
 * Reads a call that is a JSON object with {@code name} and {@code arguments} or {@code parameters}, in any order. The arguments, an object or a
 * JSON string of one, are handed on as they come once the name is known.
 */
final class CallReader implements Reader {

    private static final int EARLY_MAX = 1 << 16;
    /** What may stand before the name; an object that begins with anything else is no call. */
    private static final Set<String> BESIDE = Set.of("type", "id", "name", "arguments", "parameters");

    private enum Target {
        NONE,
        NAME,
        OBJECT,
        STRING,
        NOTHING
    }

    private final Pieces out;
    private final JsonScan scan = new JsonScan();
    private final StringBuilder key = new StringBuilder();
    private final StringBuilder name = new StringBuilder();
    /** Arguments that came before the name. */
    private final StringBuilder early = new StringBuilder();

    private final StringBuilder decoded = new StringBuilder();
    private final Unescape unescape = new Unescape();
    private Target target = Target.NONE;
    private boolean named;
    private boolean argued;
    private boolean committed;

    CallReader(Pieces out) {
        this.out = out;
    }

    @Override
    public Status accept(char c) {
        boolean object = scan.depth() > 0;
        if (!object && !MarkerScan.isWhite(c) && c != '{') {
            return Status.FAILED;
        }
        boolean first = object && scan.depth() == 1 && scan.expectsValue() && !MarkerScan.isWhite(c);
        if (first && !choose(c)) {
            return Status.FAILED;
        }
        boolean inKey = scan.inKey();
        if (!scan.accept(c)) {
            return Status.FAILED;
        }
        if (scan.depth() == 1 && scan.inKey()) {
            if (inKey) {
                key.append(c);
            } else {
                key.setLength(0);
            }
        }
        if (target != Target.NONE) {
            boolean last = scan.depth() == 1 && scan.expectsNext();
            if (!take(c, first, last)) {
                return Status.FAILED;
            }
            target = last ? Target.NONE : target;
        }
        return scan.done() ? end() : Status.MORE;
    }

    /** Decides what the value of the key is for; false for one that cannot be a call's. */
    private boolean choose(char c) {
        switch (Unescape.text(key)) {
            case "name" -> {
                if (!named) {
                    target = Target.NAME;
                    return c == '"';
                }
            }
            case "arguments", "parameters" -> {
                if (!argued) {
                    argued = true;
                    target = c == '{' ? Target.OBJECT : c == '"' ? Target.STRING : Target.NOTHING;
                    return target != Target.NOTHING || c == 'n';
                }
            }
            default -> {}
        }
        return named || BESIDE.contains(Unescape.text(key));
    }

    private boolean take(char c, boolean first, boolean last) {
        switch (target) {
            case NAME -> {
                if (last) {
                    named = true;
                    return commit();
                }
                if (!first) {
                    name.append(c);
                }
            }
            case OBJECT -> {
                return arguments(c);
            }
            case STRING -> {
                if (!first && !last) {
                    decoded.setLength(0);
                    unescape.accept(c, decoded);
                    for (int i = 0; i < decoded.length(); i++) {
                        if (!arguments(decoded.charAt(i))) {
                            return false;
                        }
                    }
                }
            }
            default -> {}
        }
        return true;
    }

    /** Once there are arguments and a known name. */
    private boolean commit() {
        String function = Unescape.text(name);
        if (!out.isFunction(function)) {
            return false;
        }
        if (!early.isEmpty()) {
            begin(function);
            out.arguments(early);
        }
        return true;
    }

    private void begin(String function) {
        committed = true;
        out.call(function);
    }

    private boolean arguments(char c) {
        if (!named) {
            early.append(c);
            return early.length() <= EARLY_MAX;
        }
        if (!committed) {
            begin(Unescape.text(name));
        }
        out.arguments(c);
        return true;
    }

    private Status end() {
        if (!named) {
            return Status.FAILED;
        }
        if (!committed) {
            begin(Unescape.text(name));
            out.arguments("{}");
        }
        return Status.DONE;
    }

    @Override
    public boolean committed() {
        return committed;
    }
}
