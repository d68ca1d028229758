package io.millrace.worker.text.grammar;

import io.millrace.worker.text.grammar.automaton.GrammarException;

/** The schema of a function's arguments cannot be honoured. */
public final class FunctionException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    private final String function;
    private final transient GrammarException schema;

    FunctionException(String function, GrammarException schema) {
        super(function + ": " + schema.text(), schema, false, false);
        this.function = function;
        this.schema = schema;
    }

    /** Its name. */
    public String function() {
        return function;
    }

    /** What is wrong with its schema. */
    public GrammarException schema() {
        return schema;
    }
}
