package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import org.jspecify.annotations.Nullable;

/**
 * A grammar: rules as networks of nodes, whose edges are terminals or calls of rules. Every node lies on a way to an end, and no rule
 * calls itself before a byte. Immutable.
 */
public final class Grammar {

    sealed interface Edge {
        int to();

        record Epsilon(int to) implements Edge {}

        record Terminal(int terminal, int to) implements Edge {}

        record Call(int rule, int to) implements Edge {}
    }

    private final ByteDfa[] terminals;
    private final Edge[][] edges;
    private final boolean[] end;
    private final int[] starts;
    private final State start;

    Grammar(ByteDfa[] terminals, Edge[][] edges, boolean[] end, int[] starts, int startRule) {
        this.terminals = terminals;
        this.edges = edges;
        this.end = end;
        this.starts = starts;
        Closure closure = new Closure(this);
        closure.enter(starts[startRule], null);
        State first = closure.state();
        if (first == null) {
            throw GrammarException.tooLarge("it begins in too many ways at once. Make it less ambiguous.");
        }
        this.start = first;
    }

    /** Before any byte. */
    public State start() {
        return start;
    }

    ByteDfa terminal(int index) {
        return terminals[index];
    }

    Edge[] edges(int node) {
        return edges[node];
    }

    boolean isEnd(int node) {
        return end[node];
    }

    /** An end, and nothing else. */
    boolean isTail(int node) {
        return end[node] && edges[node].length == 0;
    }

    int start(int rule) {
        return starts[rule];
    }

    /** After one more byte; null: no text of the grammar goes on so, or there are too many ways to follow. */
    static @Nullable State step(State state, byte b) {
        Grammar grammar = state.grammar;
        Config[] configs = state.configs;
        if (configs.length == 1) {
            // The usual case, within a terminal: nothing else begins.
            Config c = configs[0];
            ByteDfa dfa = grammar.terminals[c.terminal()];
            int next = dfa.next(c.state(), b);
            if (next < 0) {
                return null;
            }
            if (!dfa.accepts(next)) {
                return new State(grammar, new Config[] {new Config(c.terminal(), next, c.stack())}, false);
            }
        }
        Closure closure = new Closure(grammar);
        boolean any = false;
        for (Config c : configs) {
            ByteDfa dfa = grammar.terminals[c.terminal()];
            int next = dfa.next(c.state(), b);
            if (next < 0) {
                continue;
            }
            any = true;
            if (dfa.continues(next)) {
                closure.add(c.terminal(), next, c.stack());
            }
            if (dfa.accepts(next)) {
                closure.pop(c.stack());
            }
        }
        return any ? closure.state() : null;
    }

    /** After these bytes; null as in {@link #step}. */
    public static @Nullable State advance(State state, byte[] bytes) {
        State at = state;
        for (byte b : bytes) {
            at = step(at, b);
            if (at == null) {
                return null;
            }
        }
        return at;
    }
}
