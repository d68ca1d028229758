package io.millrace.worker.text.grammar.ebnf;

import io.millrace.worker.text.grammar.automaton.GrammarException;

/** Reads a grammar's text character by character. */
final class Scanner {

    private static final int DEPTH_MAX = 200;
    private static final int REPEAT_MAX = 10_000;

    private final String text;
    private int at;
    private int depth;

    Scanner(String text) {
        this.text = text;
    }

    boolean atEnd() {
        return at >= text.length();
    }

    /** -1 at the end. */
    int peek() {
        return atEnd() ? -1 : text.codePointAt(at);
    }

    int next() {
        if (atEnd()) {
            throw invalid("breaks off");
        }
        int c = text.codePointAt(at);
        at += Character.charCount(c);
        return c;
    }

    boolean looksAt(String words) {
        return text.startsWith(words, at);
    }

    boolean take(String words) {
        boolean here = looksAt(words);
        at += here ? words.length() : 0;
        return here;
    }

    int position() {
        return at;
    }

    void back(int position) {
        at = position;
    }

    void skipLine() {
        while (!atEnd() && peek() != '\n') {
            at++;
        }
    }

    /** A name of letters, digits and these; empty when there is none. */
    String name(String more) {
        int start = at;
        while (!atEnd() && (Character.isLetterOrDigit(peek()) || more.indexOf(peek()) >= 0)) {
            next();
        }
        return text.substring(start, at);
    }

    int number() {
        int start = at;
        int value = 0;
        while (!atEnd() && peek() >= '0' && peek() <= '9') {
            value = Math.min(value * 10 + (next() - '0'), REPEAT_MAX + 1);
        }
        if (at == start) {
            throw invalid("has no number where a repetition wants one");
        }
        if (value > REPEAT_MAX) {
            throw GrammarException.tooLarge(
                    "line " + line() + " repeats something more than %,d times.".formatted(REPEAT_MAX));
        }
        return value;
    }

    int hex(int digits) {
        int value = 0;
        for (int i = 0; i < digits; i++) {
            int digit = Character.digit(next(), 16);
            if (digit < 0) {
                throw invalid("has an escape with fewer than " + digits + " hexadecimal digits");
            }
            value = value * 16 + digit;
        }
        if (value < 0 || value > Character.MAX_CODE_POINT || value >= 0xD800 && value <= 0xDFFF) {
            throw invalid("has an escape that is no character");
        }
        return value;
    }

    /** The character that an escape stands for; the position is behind the backslash. */
    int escaped() {
        int c = next();
        return switch (c) {
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'f' -> '\f';
            case 'b' -> '\b';
            case 'x' -> hex(2);
            case 'u' -> hex(4);
            case 'U' -> hex(8);
            default -> {
                if (c < 0x80 && Character.isLetterOrDigit(c)) {
                    throw invalid("has the unknown escape \\" + Character.toString(c));
                }
                yield c;
            }
        };
    }

    /** The text up to the closing quotation mark; the position is behind the opening one. */
    String quoted() {
        StringBuilder out = new StringBuilder();
        while (true) {
            if (atEnd() || peek() == '\n') {
                throw invalid("has a '\"' that is not closed");
            }
            int c = next();
            if (c == '"') {
                return out.toString();
            }
            out.appendCodePoint(c == '\\' ? escaped() : c);
        }
    }

    void enter() {
        if (++depth > DEPTH_MAX) {
            throw GrammarException.tooLarge("line " + line() + " is nested more than " + DEPTH_MAX + " deep.");
        }
    }

    void leave() {
        depth--;
    }

    int line() {
        return 1 + (int) text.substring(0, at).chars().filter(c -> c == '\n').count();
    }

    GrammarException invalid(String what) {
        return GrammarException.invalid("line " + line() + " " + what + ".");
    }

    GrammarException unsupported(String what) {
        return GrammarException.unsupported(
                "line " + line() + " uses " + what + ", which this server does not support.");
    }
}
