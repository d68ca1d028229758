package io.millrace.gateway.parse;

/** Turns the inside of a JSON string into its text, character by character; a surrogate pair comes at once. Not thread-safe. */
final class Unescape {

    private boolean escaped;
    private int hex = -1;
    private int code;
    private char high;

    /** The text of what stands between quotes. */
    static String text(CharSequence inside) {
        StringBuilder out = new StringBuilder();
        Unescape unescape = new Unescape();
        for (int i = 0; i < inside.length(); i++) {
            unescape.accept(inside.charAt(i), out);
        }
        return out.toString();
    }

    void accept(char c, StringBuilder out) {
        if (hex > 0) {
            code = code * 16 + Math.max(0, Character.digit(c, 16));
            if (--hex == 0) {
                add((char) code, out);
            }
        } else if (escaped) {
            escaped = false;
            if (c == 'u') {
                hex = 4;
                code = 0;
            } else {
                int at = "bfnrt".indexOf(c);
                add(at < 0 ? c : "\b\f\n\r\t".charAt(at), out);
            }
        } else if (c == '\\') {
            escaped = true;
        } else {
            add(c, out);
        }
    }

    private void add(char c, StringBuilder out) {
        if (high != 0) {
            if (Character.isLowSurrogate(c)) {
                out.append(high).append(c);
                high = 0;
                return;
            }
            out.append('\ufffd');
            high = 0;
        }
        if (Character.isHighSurrogate(c)) {
            high = c;
        } else {
            out.append(Character.isLowSurrogate(c) ? '\ufffd' : c);
        }
    }
}
