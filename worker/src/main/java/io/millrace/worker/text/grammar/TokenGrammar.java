package io.millrace.worker.text.grammar;

import io.millrace.worker.text.grammar.machine.Grammar;
import io.millrace.worker.text.grammar.machine.Masks;

/** A compiled grammar over a model's tokens. Immutable; shared by all sequences that are bound by it. */
public final class TokenGrammar {

    private final Grammar grammar;
    private final Masks masks;

    TokenGrammar(Grammar grammar, Masks masks) {
        this.grammar = grammar;
        this.masks = masks;
    }

    /** Follows one output from its beginning. */
    public GrammarCursor begin() {
        return new GrammarCursor(grammar.start(), masks);
    }
}
