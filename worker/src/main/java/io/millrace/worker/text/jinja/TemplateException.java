package io.millrace.worker.text.jinja;

import io.millrace.shared.error.MillraceException;

/** A template that cannot be compiled, or that fails on a conversation. */
public final class TemplateException extends MillraceException {

    private static final long serialVersionUID = 1L;

    /** Why. */
    public enum Kind {
        /** The template refuses the conversation ({@code raise_exception}): a client's error, the message is for the client. */
        RAISE("MR-TEMPLATE-001"),
        /** Something that does not exist was used. */
        UNDEFINED("MR-TEMPLATE-002"),
        /** An operation its operands do not allow. */
        RUNTIME("MR-TEMPLATE-003"),
        /** An attribute that the sandbox blocks. */
        SECURITY("MR-TEMPLATE-004"),
        /** The template itself is malformed. */
        SYNTAX("MR-TEMPLATE-005"),
        /** The final message cannot be continued. */
        CONTINUE("MR-TEMPLATE-006"),
        /** Too many steps, too long an output or too much memory. */
        LIMIT("MR-TEMPLATE-007"),
        /** The messages, tools or variables are not the JSON they should be. */
        INPUT("MR-TEMPLATE-008");

        private final String code;

        Kind(String code) {
            this.code = code;
        }
    }

    private final Kind kind;

    TemplateException(Kind kind, String message) {
        super(kind.code, message);
        this.kind = kind;
    }

    public Kind kind() {
        return kind;
    }

    static TemplateException runtime(String message) {
        return new TemplateException(Kind.RUNTIME, message);
    }

    static TemplateException syntax(String message, int line) {
        return new TemplateException(Kind.SYNTAX, message + " (line " + line + " of the template)");
    }
}
