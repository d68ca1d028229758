package io.millrace.gateway.parse;

import java.util.BitSet;

/** Follows one JSON value (RFC 8259) character by character. Not thread-safe. */
final class JsonScan {

    private static final int DEPTH_MAX = 1000;

    private enum State {
        VALUE,
        FIRST_ITEM,
        FIRST_KEY,
        KEY,
        COLON,
        NEXT,
        STRING,
        ESCAPE,
        HEX,
        WORD,
        NUMBER,
        END
    }

    private enum Number {
        MINUS,
        ZERO,
        DIGITS,
        POINT,
        FRACTION,
        E,
        SIGN,
        EXPONENT
    }

    private final BitSet objects = new BitSet();
    private State state = State.VALUE;
    private Number number = Number.ZERO;
    private boolean key;
    private int depth;
    private int hex;
    private String word = "";
    private int at;

    /** Takes the next character; false: no JSON goes on so. */
    boolean accept(char c) {
        return switch (state) {
            case VALUE -> MarkerScan.isWhite(c) || begin(c);
            case FIRST_ITEM -> MarkerScan.isWhite(c) || (c == ']' ? close(false) : begin(c));
            case FIRST_KEY -> MarkerScan.isWhite(c) || (c == '}' ? close(true) : key(c));
            case KEY -> MarkerScan.isWhite(c) || key(c);
            case COLON -> MarkerScan.isWhite(c) || to(c == ':', State.VALUE);
            case NEXT -> MarkerScan.isWhite(c) || next(c);
            case STRING -> string(c);
            case ESCAPE -> escape(c);
            case HEX -> Character.digit(c, 16) >= 0 && c < 0x80 && to(true, --hex == 0 ? State.STRING : State.HEX);
            case WORD -> c == word.charAt(at) && (++at < word.length() || ended());
            case NUMBER -> number(c);
            case END -> MarkerScan.isWhite(c);
        };
    }

    private boolean to(boolean allowed, State next) {
        state = next;
        return allowed;
    }

    private boolean begin(char c) {
        switch (c) {
            case '{' -> {
                return open(true, State.FIRST_KEY);
            }
            case '[' -> {
                return open(false, State.FIRST_ITEM);
            }
            case '"' -> {
                key = false;
                return to(true, State.STRING);
            }
            case 't' -> word = "true";
            case 'f' -> word = "false";
            case 'n' -> word = "null";
            case '-' -> {
                number = Number.MINUS;
                return to(true, State.NUMBER);
            }
            default -> {
                number = c == '0' ? Number.ZERO : Number.DIGITS;
                return to(isDigit(c), State.NUMBER);
            }
        }
        at = 1;
        return to(true, State.WORD);
    }

    private boolean open(boolean object, State next) {
        objects.set(depth++, object);
        return to(depth <= DEPTH_MAX, next);
    }

    private boolean close(boolean object) {
        return objects.get(depth - 1) == object && --depth >= 0 && ended();
    }

    private boolean ended() {
        return to(true, depth == 0 ? State.END : State.NEXT);
    }

    private boolean key(char c) {
        key = true;
        return to(c == '"', State.STRING);
    }

    private boolean next(char c) {
        return switch (c) {
            case ',' -> to(true, objects.get(depth - 1) ? State.KEY : State.VALUE);
            case '}' -> close(true);
            case ']' -> close(false);
            default -> false;
        };
    }

    private boolean string(char c) {
        if (c == '"') {
            return key ? to(true, State.COLON) : ended();
        }
        return to(c >= 0x20, c == '\\' ? State.ESCAPE : State.STRING);
    }

    private boolean escape(char c) {
        hex = 4;
        return c == 'u' ? to(true, State.HEX) : to("\"\\/bfnrt".indexOf(c) >= 0, State.STRING);
    }

    private boolean number(char c) {
        Number next = switch (number) {
            case MINUS -> c == '0' ? Number.ZERO : isDigit(c) ? Number.DIGITS : null;
            case ZERO -> c == '.' ? Number.POINT : isE(c) ? Number.E : null;
            case DIGITS -> isDigit(c) ? Number.DIGITS : c == '.' ? Number.POINT : isE(c) ? Number.E : null;
            case POINT -> isDigit(c) ? Number.FRACTION : null;
            case FRACTION -> isDigit(c) ? Number.FRACTION : isE(c) ? Number.E : null;
            case E -> c == '+' || c == '-' ? Number.SIGN : isDigit(c) ? Number.EXPONENT : null;
            case SIGN, EXPONENT -> isDigit(c) ? Number.EXPONENT : null;
        };
        if (next != null) {
            number = next;
            return true;
        }
        boolean whole = number == Number.ZERO
                || number == Number.DIGITS
                || number == Number.FRACTION
                || number == Number.EXPONENT;
        return whole && ended() && accept(c);
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }

    private static boolean isE(char c) {
        return c == 'e' || c == 'E';
    }

    /** Objects and arrays that are open. */
    int depth() {
        return depth;
    }

    /** A value is to begin, and nothing else may. */
    boolean expectsValue() {
        return state == State.VALUE;
    }

    /** A value of an object or array has just ended. */
    boolean expectsNext() {
        return state == State.NEXT;
    }

    /** Inside the quotes of a property's name. */
    boolean inKey() {
        return key && (state == State.STRING || state == State.ESCAPE || state == State.HEX);
    }

    /** The value is complete; never so of a bare number, which may go on. */
    boolean done() {
        return state == State.END;
    }
}
