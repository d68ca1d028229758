package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** What is known of a grammar's nodes before anything is read. */
final class GrammarAnalysis {

    private final List<ByteDfa> terminals;
    private final List<List<Grammar.Edge>> edges;
    private final List<Boolean> ends;
    private final List<Integer> starts;

    GrammarAnalysis(List<ByteDfa> terminals, List<List<Grammar.Edge>> edges, List<Boolean> ends, List<Integer> starts) {
        this.terminals = terminals;
        this.edges = edges;
        this.ends = ends;
        this.starts = starts;
    }

    /** Nodes from which their rule can be completed. */
    boolean[] productive() {
        return reaching(false);
    }

    /** Nodes from which an end is reached, by edges that may be passed; {@code emptily}: without a byte. */
    private boolean[] reaching(boolean emptily) {
        int n = edges.size();
        boolean[] reached = new boolean[n];
        // Who waits for a node: sources of its edges, and of calls of the rule that starts there.
        List<List<Integer>> waiting = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            waiting.add(new ArrayList<>());
        }
        for (int from = 0; from < n; from++) {
            for (Grammar.Edge edge : edges.get(from)) {
                waiting.get(edge.to()).add(from);
                if (edge instanceof Grammar.Edge.Call(int rule, int to)) {
                    waiting.get(starts.get(rule)).add(from);
                }
            }
        }
        Deque<Integer> queue = new ArrayDeque<>();
        for (int i = 0; i < n; i++) {
            if (ends.get(i)) {
                reached[i] = true;
                queue.add(i);
            }
        }
        while (!queue.isEmpty()) {
            for (int from : waiting.get(queue.remove())) {
                if (!reached[from] && edges.get(from).stream().anyMatch(e -> passes(e, reached, emptily))) {
                    reached[from] = true;
                    queue.add(from);
                }
            }
        }
        return reached;
    }

    private boolean passes(Grammar.Edge edge, boolean[] reached, boolean emptily) {
        return reached[edge.to()]
                && switch (edge) {
                    case Grammar.Edge.Epsilon e -> true;
                    case Grammar.Edge.Terminal(int terminal, int to) ->
                        !emptily || terminals.get(terminal).accepts(0);
                    case Grammar.Edge.Call(int rule, int to) -> reached[starts.get(rule)];
                };
    }

    /** Throws when a rule may call itself before a byte. */
    void refuseLeftRecursion(List<String> names) {
        boolean[] empty = reaching(true);
        int[] mark = new int[starts.size()];
        for (int rule = 0; rule < mark.length; rule++) {
            if (mark[rule] == 0) {
                visit(rule, mark, empty, names);
            }
        }
    }

    private record Visit(int rule, ArrayDeque<Integer> callees) {}

    private void visit(int first, int[] mark, boolean[] empty, List<String> names) {
        Deque<Visit> path = new ArrayDeque<>();
        path.push(new Visit(first, callees(first, empty)));
        mark[first] = 1;
        while (!path.isEmpty()) {
            Visit visit = path.element();
            if (visit.callees().isEmpty()) {
                mark[visit.rule()] = 2;
                path.pop();
                continue;
            }
            int rule = visit.callees().remove();
            if (mark[rule] == 1) {
                throw GrammarException.unsupported("the rule '" + names.get(rule)
                        + "' may begin with itself (left recursion), which this server cannot follow. Write it as a"
                        + " repetition, or with the recursion on the right.");
            }
            if (mark[rule] == 0) {
                mark[rule] = 1;
                path.push(new Visit(rule, callees(rule, empty)));
            }
        }
    }

    /** Rules that may be called before a byte of this one. */
    private ArrayDeque<Integer> callees(int rule, boolean[] empty) {
        ArrayDeque<Integer> callees = new ArrayDeque<>();
        ArrayDeque<Integer> queue = new ArrayDeque<>(List.of(starts.get(rule)));
        java.util.Set<Integer> seen = new java.util.HashSet<>(queue);
        while (!queue.isEmpty()) {
            for (Grammar.Edge edge : edges.get(queue.remove())) {
                boolean passes = switch (edge) {
                    case Grammar.Edge.Epsilon e -> true;
                    case Grammar.Edge.Terminal(int terminal, int to) ->
                        terminals.get(terminal).accepts(0);
                    case Grammar.Edge.Call(int callee, int to) -> {
                        callees.add(callee);
                        yield empty[starts.get(callee)];
                    }
                };
                if (passes && seen.add(edge.to())) {
                    queue.add(edge.to());
                }
            }
        }
        return callees;
    }
}
