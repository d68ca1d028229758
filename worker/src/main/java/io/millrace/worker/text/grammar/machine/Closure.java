package io.millrace.worker.text.grammar.machine;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Collects the places that are reached without a byte. Not thread-safe. */
final class Closure {

    /** Beyond it a grammar is too ambiguous to follow. */
    static final int CONFIGS_MAX = 1_000;

    private static final int DEPTH_MAX = 2_000;
    private static final int VISITS_MAX = 20 * CONFIGS_MAX;
    private static final int FEW = 8;
    private static final Frame TOO_DEEP = new Frame(-1, null);

    private record Visit(int node, @Nullable Frame stack) {
        @Override
        public boolean equals(Object other) {
            return other instanceof Visit v && node == v.node && Frame.same(stack, v.stack);
        }

        @Override
        public int hashCode() {
            return node * 31 + Frame.hash(stack);
        }
    }

    private final Grammar grammar;
    private final List<Config> configs = new ArrayList<>(4);
    private final Set<Config> seen = new HashSet<>();
    private final Set<Visit> visited = new HashSet<>();
    private final Deque<Visit> open = new ArrayDeque<>();
    private boolean accepting;
    private boolean overflow;

    Closure(Grammar grammar) {
        this.grammar = grammar;
    }

    /** Within a terminal. */
    void add(int terminal, int state, @Nullable Frame stack) {
        Config config = new Config(terminal, state, stack);
        if (configs.size() < FEW ? configs.contains(config) : !seenNow().add(config)) {
            return;
        }
        if (configs.size() >= CONFIGS_MAX) {
            overflow = true;
            return;
        }
        configs.add(config);
    }

    private Set<Config> seenNow() {
        if (seen.isEmpty()) {
            seen.addAll(configs);
        }
        return seen;
    }

    /** A terminal or rule over this stack is complete. */
    void pop(@Nullable Frame stack) {
        if (stack == null) {
            accepting = true;
        } else {
            enter(stack.node, stack.parent);
        }
    }

    /** Nothing happens before {@link #state}. */
    void enter(int node, @Nullable Frame stack) {
        Visit visit = new Visit(node, stack);
        if (visited.size() < VISITS_MAX && visited.add(visit)) {
            open.add(visit);
        }
    }

    private void follow() {
        while (!open.isEmpty()) {
            Visit visit = open.remove();
            if (grammar.isEnd(visit.node())) {
                pop(visit.stack());
            }
            for (Grammar.Edge edge : grammar.edges(visit.node())) {
                follow(edge, visit.stack());
            }
        }
        overflow |= visited.size() >= VISITS_MAX;
    }

    private void follow(Grammar.Edge edge, @Nullable Frame stack) {
        switch (edge) {
            case Grammar.Edge.Epsilon(int to) -> enter(to, stack);
            case Grammar.Edge.Terminal(int terminal, int to) -> {
                ByteDfa dfa = grammar.terminal(terminal);
                Frame above = push(to, stack);
                if (dfa.continues(0) && above != TOO_DEEP) {
                    add(terminal, 0, above);
                }
                if (dfa.accepts(0)) {
                    enter(to, stack);
                }
            }
            case Grammar.Edge.Call(int rule, int to) -> {
                Frame above = push(to, stack);
                if (above != TOO_DEEP) {
                    enter(grammar.start(rule), above);
                }
            }
        }
    }

    /** The stack with a place to return to; without it when nothing is left to do there. */
    private @Nullable Frame push(int to, @Nullable Frame stack) {
        if (grammar.isTail(to)) {
            return stack;
        }
        return stack != null && stack.depth >= DEPTH_MAX ? TOO_DEEP : new Frame(to, stack);
    }

    /** The places; null: there are none, or more than can be followed. */
    @Nullable
    State state() {
        follow();
        return overflow || configs.isEmpty() && !accepting
                ? null
                : new State(grammar, configs.toArray(Config[]::new), accepting);
    }
}
