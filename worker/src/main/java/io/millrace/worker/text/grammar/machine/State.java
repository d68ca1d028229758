package io.millrace.worker.text.grammar.machine;

import java.util.Arrays;

/** All places in which a text so far may be. Immutable. */
public final class State {

    final Grammar grammar;
    final Config[] configs;
    private final boolean accepting;
    private final int hash;

    State(Grammar grammar, Config[] configs, boolean accepting) {
        this.grammar = grammar;
        this.configs = configs;
        this.accepting = accepting;
        this.hash = Arrays.hashCode(configs) * 2 + (accepting ? 1 : 0);
    }

    /** Whether the text is complete as it is. */
    public boolean accepting() {
        return accepting;
    }

    /** Whether the text is complete and nothing can follow. */
    public boolean finished() {
        return accepting && configs.length == 0;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof State s
                && grammar == s.grammar
                && accepting == s.accepting
                && hash == s.hash
                && Arrays.equals(configs, s.configs);
    }

    @Override
    public int hashCode() {
        return hash;
    }
}
