package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The subset construction, with the anchors at the beginning and the end of a text. */
final class Determinizer {

    /** A set of nodes as a key of a map. */
    private record Nodes(int[] ids) {
        @Override
        public boolean equals(Object other) {
            return other instanceof Nodes nodes && Arrays.equals(ids, nodes.ids);
        }

        @Override
        public int hashCode() {
            return Arrays.hashCode(ids);
        }
    }

    private final Nfa nfa;
    private final int end;
    private final Budget budget;
    private final Alphabet alphabet;
    private final Map<Nodes, Integer> states = new HashMap<>();
    private final List<int[]> sets = new ArrayList<>();
    private final List<int[]> next = new ArrayList<>();
    private final List<Boolean> accept = new ArrayList<>();
    /** Marks of the closure under way. */
    private final int[] seen;

    private int mark;
    private int[] stack = new int[64];

    private Determinizer(Nfa nfa, int end, Budget budget) {
        this.nfa = nfa;
        this.end = end;
        this.budget = budget;
        this.alphabet = Alphabet.of(nfa.sets(), budget);
        this.seen = new int[nfa.nodes()];
    }

    static Automaton run(Nfa nfa, int start, int end, Budget budget) {
        Determinizer d = new Determinizer(nfa, end, budget);
        d.explore(start);
        return Automaton.trimmed(d.alphabet.classes(), d.next, d.accept);
    }

    private void explore(int start) {
        int[] first = closure(new int[] {start}, 1, true, false);
        boolean accepts = accepts(first, true);
        if (nfa.anchored()) {
            // The beginning is no place that can be come back to.
            add(first, accepts);
        } else {
            state(first);
        }
        int classes = alphabet.classes().length;
        int[][] buckets = new int[classes][4];
        int[] sizes = new int[classes];
        for (int s = 0; s < sets.size(); s++) {
            fill(sets.get(s), buckets, sizes);
            int[] row = new int[classes];
            Arrays.fill(row, -1);
            for (int c = 0; c < classes; c++) {
                if (sizes[c] > 0) {
                    row[c] = state(closure(buckets[c], sizes[c], false, false));
                    sizes[c] = 0;
                }
            }
            budget.spend(classes);
            next.add(row);
        }
    }

    private void fill(int[] nodes, int[][] buckets, int[] sizes) {
        for (int node : nodes) {
            for (int e = nfa.first(node); e >= 0; e = nfa.next(e)) {
                if (nfa.label(e) < 0) {
                    continue;
                }
                int[] classes = alphabet.classesOf()[nfa.label(e)];
                budget.spend(classes.length);
                for (int c : classes) {
                    if (sizes[c] == buckets[c].length) {
                        buckets[c] = Arrays.copyOf(buckets[c], 2 * sizes[c]);
                    }
                    buckets[c][sizes[c]++] = nfa.target(e);
                }
            }
        }
    }

    private int state(int[] nodes) {
        Integer known = states.get(new Nodes(nodes));
        if (known != null) {
            return known;
        }
        int id = add(nodes, accepts(nodes, false));
        states.put(new Nodes(nodes), id);
        return id;
    }

    private int add(int[] nodes, boolean accepts) {
        sets.add(nodes);
        accept.add(accepts);
        budget.states(sets.size());
        return sets.size() - 1;
    }

    private boolean accepts(int[] nodes, boolean atStart) {
        if (!nfa.anchored()) {
            return Arrays.binarySearch(nodes, end) >= 0;
        }
        return Arrays.binarySearch(closure(nodes, nodes.length, atStart, true), end) >= 0;
    }

    /** Nodes that matter (they have an edge other than epsilon, or are the end) and are reached without a symbol; sorted. */
    private int[] closure(int[] from, int count, boolean atStart, boolean atEnd) {
        mark++;
        int top = 0;
        int size = 0;
        int[] out = new int[Math.max(4, count)];
        for (int i = 0; i < count; i++) {
            top = push(from[i], top);
        }
        while (top > 0) {
            int node = stack[--top];
            budget.spend(1);
            boolean matters = node == end;
            for (int e = nfa.first(node); e >= 0; e = nfa.next(e)) {
                int label = nfa.label(e);
                boolean passes = label == Nfa.EPSILON || label == Nfa.BEGIN && atStart || label == Nfa.END && atEnd;
                if (passes) {
                    top = push(nfa.target(e), top);
                }
                matters |= label >= 0 || label == Nfa.END;
            }
            if (matters) {
                if (size == out.length) {
                    out = Arrays.copyOf(out, 2 * size);
                }
                out[size++] = node;
            }
        }
        int[] sorted = Arrays.copyOf(out, size);
        Arrays.sort(sorted);
        return sorted;
    }

    private int push(int node, int top) {
        if (seen[node] == mark) {
            return top;
        }
        seen[node] = mark;
        if (top == stack.length) {
            stack = Arrays.copyOf(stack, 2 * top);
        }
        stack[top] = node;
        return top + 1;
    }
}
