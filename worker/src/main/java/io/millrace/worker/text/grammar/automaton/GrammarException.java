package io.millrace.worker.text.grammar.automaton;

/** A grammar that cannot be used, and why: the client's mistake or a limit of this server. */
public final class GrammarException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** What kind of answer it is. */
    public enum Kind {
        /** It is not well-formed. */
        INVALID,
        /** It is well-formed, but cannot be honoured exactly. */
        UNSUPPORTED,
        /** No output satisfies it. */
        UNSATISFIABLE,
        /** It goes beyond a limit. */
        TOO_LARGE
    }

    private final Kind kind;
    private final String place;

    /** @param place a JSON pointer, a line, or empty */
    public GrammarException(Kind kind, String place, String message) {
        super(message, null, false, false);
        this.kind = kind;
        this.place = place;
    }

    public static GrammarException invalid(String message) {
        return new GrammarException(Kind.INVALID, "", message);
    }

    public static GrammarException unsupported(String message) {
        return new GrammarException(Kind.UNSUPPORTED, "", message);
    }

    public static GrammarException tooLarge(String message) {
        return new GrammarException(Kind.TOO_LARGE, "", message);
    }

    /** The same, at a place; unchanged when it has one. */
    public GrammarException at(String where) {
        return place.isEmpty() ? new GrammarException(kind, where, text()) : this;
    }

    public Kind kind() {
        return kind;
    }

    public String place() {
        return place;
    }

    public String text() {
        return String.valueOf(getMessage());
    }
}
