package io.millrace.shared.error;

/** An error a person or a client can act on: a stable code, the numbers, and the next step. */
public class MillraceException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    private final String code;

    /**
     * @param code as in docs/errors.md: {@code MR-AREA-NNN}
     * @param message what is wrong, with numbers, and the remedy
     */
    public MillraceException(String code, String message) {
        super(message);
        this.code = code;
    }

    public MillraceException(String code, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public String code() {
        return code;
    }

    @Override
    public String toString() {
        return "[" + code + "] " + getMessage();
    }
}
