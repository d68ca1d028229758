package io.millrace.gateway.parse;

/** Turns a literal of Python (strings, numbers, True, None, lists, tuples, dicts) into JSON, character by character. Not thread-safe. */
final class PythonValue {

    private final MarkerScan.Text out;
    private final JsonScan scan = new JsonScan();
    private final StringBuilder word = new StringBuilder();
    private final StringBuilder decoded = new StringBuilder();
    private char quote;
    private boolean escaped;
    private int hex;

    PythonValue(MarkerScan.Text out) {
        this.out = out;
    }

    /** A whole value was read, outside of all brackets. */
    boolean complete() {
        // White space ends a bare number.
        return quote == 0 && scan.depth() == 0 && word() && scan.accept(' ') && scan.done();
    }

    /** Takes the next character; false: it is no literal. */
    boolean accept(char c) {
        if (quote != 0) {
            return string(c);
        }
        if (PythonReader.isWord(c) || c == '.' || c == '+' || c == '-') {
            word.append(c);
            return word.length() <= 400;
        }
        if (!word()) {
            return false;
        }
        return switch (c) {
            case ' ', '\n', '\r', '\t' -> true;
            case '\'', '"' -> {
                quote = c;
                yield emit('"');
            }
            case '(' -> emit('[');
            case ')' -> emit(']');
            default -> "[]{}:,".indexOf(c) >= 0 && emit(c);
        };
    }

    /** Ends a bare word, if there is one: a number or a constant. */
    private boolean word() {
        if (word.isEmpty()) {
            return true;
        }
        String text = switch (word.toString()) {
            case "True", "true" -> "true";
            case "False", "false" -> "false";
            case "None", "null" -> "null";
            default -> word.toString();
        };
        word.setLength(0);
        for (int i = 0; i < text.length(); i++) {
            if (!emit(text.charAt(i))) {
                return false;
            }
        }
        return true;
    }

    private boolean string(char c) {
        if (hex > 0) {
            hex--;
            return Character.digit(c, 16) >= 0 && emit(c);
        }
        if (escaped) {
            escaped = false;
            return escape(c);
        }
        if (c == '\\') {
            escaped = true;
            return true;
        }
        if (c == quote) {
            quote = 0;
            return emit('"');
        }
        return literal(c);
    }

    private boolean escape(char c) {
        return switch (c) {
            case 'n', 't', 'r', 'b', 'f', '\\' -> emit('\\') && emit(c);
            case 'u' -> {
                hex = 4;
                yield emit('\\') && emit(c);
            }
            case '\n' -> true;
            default -> literal(c);
        };
    }

    private boolean literal(char c) {
        if (c == '"' || c == '\\') {
            return emit('\\') && emit(c);
        }
        if (c < 0x20) {
            decoded.setLength(0);
            decoded.append("\\u%04x".formatted((int) c));
            for (int i = 0; i < decoded.length(); i++) {
                if (!emit(decoded.charAt(i))) {
                    return false;
                }
            }
            return true;
        }
        return emit(c);
    }

    private boolean emit(char c) {
        if (!scan.accept(c)) {
            return false;
        }
        out.accept(c);
        return true;
    }
}
