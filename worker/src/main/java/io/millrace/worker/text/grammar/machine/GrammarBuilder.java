package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/** Builds a grammar, rule by rule. Not thread-safe. */
public final class GrammarBuilder {

    private static final int NODES_MAX = 200_000;

    private final Budget budget;
    private final List<ByteDfa> terminals = new ArrayList<>();
    private final Map<ByteDfa, Integer> terminalIds = new IdentityHashMap<>();
    private final List<List<Grammar.Edge>> edges = new ArrayList<>();
    private final List<Boolean> ends = new ArrayList<>();
    private final List<Integer> starts = new ArrayList<>();
    private final List<String> names = new ArrayList<>();

    public GrammarBuilder(Budget budget) {
        this.budget = budget;
    }

    /**
     * A new rule, with a node to start from.
     *
     * @param name for messages
     */
    public int rule(String name) {
        starts.add(node());
        names.add(name);
        return starts.size() - 1;
    }

    /** The node that a rule starts from. */
    public int start(int rule) {
        return starts.get(rule);
    }

    public int node() {
        if (edges.size() == NODES_MAX) {
            throw GrammarException.tooLarge(
                    "it has more than %,d places. Make it simpler, or its repetitions shorter.".formatted(NODES_MAX));
        }
        budget.spend(1);
        edges.add(new ArrayList<>(2));
        ends.add(false);
        return edges.size() - 1;
    }

    /** The rule that the node belongs to is complete there. */
    public void end(int node) {
        ends.set(node, true);
    }

    public void epsilon(int from, int to) {
        edges.get(from).add(new Grammar.Edge.Epsilon(to));
    }

    /** An edge that a terminal leads along; a terminal that accepts nothing is no edge. */
    public void terminal(int from, ByteDfa terminal, int to) {
        if (terminal.isEmpty()) {
            return;
        }
        int id = terminalIds.computeIfAbsent(terminal, t -> {
            terminals.add(t);
            return terminals.size() - 1;
        });
        edges.get(from).add(new Grammar.Edge.Terminal(id, to));
    }

    public void call(int from, int rule, int to) {
        edges.get(from).add(new Grammar.Edge.Call(rule, to));
    }

    /** A terminal from an expression over bytes. */
    public ByteDfa terminal(Rx bytes) {
        return ByteDfa.of(bytes.compile(budget), budget);
    }

    /** A terminal from an automaton over bytes. */
    public ByteDfa terminal(Automaton bytes) {
        return ByteDfa.of(bytes, budget);
    }

    /**
     * The grammar of all texts of a rule.
     *
     * @throws GrammarException when there are none, or a rule calls itself before a byte
     */
    public Grammar build(int rule) {
        boolean[] productive = new GrammarAnalysis(terminals, edges, ends, starts).productive();
        if (!productive[starts.get(rule)]) {
            throw new GrammarException(
                    GrammarException.Kind.UNSATISFIABLE,
                    "",
                    "no output satisfies it: its parts contradict each other.");
        }
        for (List<Grammar.Edge> list : edges) {
            list.removeIf(e ->
                    !productive[e.to()] || e instanceof Grammar.Edge.Call call && !productive[starts.get(call.rule())]);
        }
        new GrammarAnalysis(terminals, edges, ends, starts).refuseLeftRecursion(names);
        Grammar.Edge[][] table =
                edges.stream().map(list -> list.toArray(Grammar.Edge[]::new)).toArray(Grammar.Edge[][]::new);
        boolean[] end = new boolean[table.length];
        for (int i = 0; i < end.length; i++) {
            end[i] = ends.get(i);
        }
        return new Grammar(
                terminals.toArray(ByteDfa[]::new),
                table,
                end,
                starts.stream().mapToInt(Integer::intValue).toArray(),
                rule);
    }
}
