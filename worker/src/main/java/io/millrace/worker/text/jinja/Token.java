package io.millrace.worker.text.jinja;

/** A lexical element and the line it begins at. */
record Token(Type type, String text, int line) {

    enum Type {
        DATA,
        BLOCK_BEGIN,
        BLOCK_END,
        OUTPUT_BEGIN,
        OUTPUT_END,
        NAME,
        /** Text is the value, escapes resolved. */
        STRING,
        INTEGER,
        FLOAT,
        OPERATOR,
        END
    }

    boolean is(Type wanted, String value) {
        return type == wanted && text.equals(value);
    }

    boolean isName(String name) {
        return is(Type.NAME, name);
    }

    boolean isOperator(String operator) {
        return is(Type.OPERATOR, operator);
    }

    String describe() {
        return switch (type) {
            case END -> "end of template";
            case BLOCK_END -> "end of statement block";
            case OUTPUT_END -> "end of print statement";
            default -> "'" + text + "'";
        };
    }
}
