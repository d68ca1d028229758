package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A nondeterministic automaton under construction (Thompson's): nodes, and edges in a list for each node. */
final class Nfa {

    static final int EPSILON = -1;
    static final int BEGIN = -2;
    static final int END = -3;

    private static final int DEPTH_MAX = 1_000;

    private final Budget budget;
    private final Map<CharSet, Integer> setIds = new HashMap<>();
    private final List<CharSet> sets = new ArrayList<>();
    private int[] head = new int[64];
    private int[] next = new int[128];
    private int[] label = new int[128];
    private int[] target = new int[128];
    private int nodes;
    private int edges;
    private int depth;
    private boolean anchored;

    Nfa(Budget budget) {
        this.budget = budget;
    }

    int node() {
        budget.nodes(nodes);
        budget.spend(1);
        if (nodes == head.length) {
            head = Arrays.copyOf(head, 2 * nodes);
        }
        head[nodes] = -1;
        return nodes++;
    }

    void edge(int from, CharSet set, int to) {
        if (!set.isEmpty()) {
            edge(from, setIds.computeIfAbsent(set, this::addSet), to);
        }
    }

    private int addSet(CharSet set) {
        sets.add(set);
        return sets.size() - 1;
    }

    void epsilon(int from, int to) {
        edge(from, EPSILON, to);
    }

    private void edge(int from, int by, int to) {
        budget.spend(1);
        if (edges == next.length) {
            next = Arrays.copyOf(next, 2 * edges);
            label = Arrays.copyOf(label, 2 * edges);
            target = Arrays.copyOf(target, 2 * edges);
        }
        next[edges] = head[from];
        label[edges] = by;
        target[edges] = to;
        head[from] = edges++;
    }

    /** Puts an expression between two nodes. */
    void add(Rx rx, int from, int to) {
        if (++depth > DEPTH_MAX) {
            throw GrammarException.tooLarge("it is nested more than %,d deep.".formatted(DEPTH_MAX));
        }
        switch (rx) {
            case Rx.Chars(CharSet set) -> edge(from, set, to);
            case Rx.Seq(List<Rx> items) -> sequence(items, from, to);
            case Rx.Alt(List<Rx> options) -> {
                for (Rx option : options) {
                    int start = node();
                    epsilon(from, start);
                    add(option, start, to);
                }
            }
            case Rx.Repeat repeat -> repeat(repeat, from, to);
            case Rx.Anchor(boolean start) -> {
                anchored = true;
                edge(from, start ? BEGIN : END, to);
            }
            case Rx.Embedded(Automaton automaton) -> embed(automaton, from, to);
        }
        depth--;
    }

    private void sequence(List<Rx> items, int from, int to) {
        int at = from;
        for (int i = 0; i < items.size(); i++) {
            int then = i == items.size() - 1 ? to : node();
            add(items.get(i), at, then);
            at = then;
        }
        if (items.isEmpty()) {
            epsilon(from, to);
        }
    }

    private void repeat(Rx.Repeat repeat, int from, int to) {
        int at = from;
        for (int i = 0; i < repeat.min(); i++) {
            int then = node();
            add(repeat.item(), at, then);
            at = then;
        }
        if (repeat.max() < 0) {
            int loop = node();
            epsilon(at, loop);
            int body = node();
            epsilon(loop, body);
            int back = node();
            add(repeat.item(), body, back);
            epsilon(back, loop);
            epsilon(loop, to);
            return;
        }
        for (int i = repeat.min(); i < repeat.max(); i++) {
            epsilon(at, to);
            int body = node();
            epsilon(at, body);
            int then = node();
            add(repeat.item(), body, then);
            at = then;
        }
        epsilon(at, to);
    }

    private void embed(Automaton automaton, int from, int to) {
        int[] at = new int[automaton.states()];
        Arrays.setAll(at, i -> node());
        epsilon(from, at[0]);
        for (int s = 0; s < at.length; s++) {
            int state = s;
            automaton.byTarget(s).forEach((then, set) -> edge(at[state], set, at[then]));
            if (automaton.accepts(s)) {
                epsilon(at[s], to);
            }
        }
    }

    int nodes() {
        return nodes;
    }

    boolean anchored() {
        return anchored;
    }

    List<CharSet> sets() {
        return sets;
    }

    /** First edge of a node; -1 when it has none. */
    int first(int node) {
        return head[node];
    }

    int next(int edge) {
        return next[edge];
    }

    /** Index of the edge's set, or {@link #EPSILON}, {@link #BEGIN}, {@link #END}. */
    int label(int edge) {
        return label[edge];
    }

    int target(int edge) {
        return target[edge];
    }
}
