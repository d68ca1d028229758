package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A deterministic automaton over symbols in classes; state 0 is the start. From every state an accepting one can be reached, but for
 * the start of an empty language. Immutable.
 */
public final class Automaton {

    private static final int DEAD = -1;

    private final CharSet[] classes;
    /** [states * classes] the next state; -1: none. */
    private final int[] next;

    private final boolean[] accept;

    private Automaton(CharSet[] classes, int[] next, boolean[] accept) {
        this.classes = classes;
        this.next = next;
        this.accept = accept;
    }

    /**
     * An automaton from its table, state 0 the start.
     *
     * @param classes disjoint
     * @param next for each state its next state by class, -1: none
     */
    public static Automaton of(CharSet[] classes, List<int[]> next, List<Boolean> accept) {
        return trimmed(classes, next, accept);
    }

    /** Without the states from which no accepting one can be reached, or that cannot be reached. */
    static Automaton trimmed(CharSet[] classes, List<int[]> next, List<Boolean> accept) {
        int n = accept.size();
        int[] count = new int[n + 1];
        next.forEach(row -> Arrays.stream(row).filter(t -> t >= 0).forEach(t -> count[t + 1]++));
        for (int i = 0; i < n; i++) {
            count[i + 1] += count[i];
        }
        int[] sources = new int[count[n]];
        int[] at = count.clone();
        for (int s = 0; s < n; s++) {
            for (int t : next.get(s)) {
                if (t >= 0) {
                    sources[at[t]++] = s;
                }
            }
        }
        boolean[] live = new boolean[n];
        ArrayDeque<Integer> queue = new ArrayDeque<>();
        for (int s = 0; s < n; s++) {
            if (accept.get(s)) {
                live[s] = true;
                queue.add(s);
            }
        }
        while (!queue.isEmpty()) {
            int t = queue.remove();
            for (int i = count[t]; i < count[t + 1]; i++) {
                if (!live[sources[i]]) {
                    live[sources[i]] = true;
                    queue.add(sources[i]);
                }
            }
        }
        return renumbered(classes, next, accept, live);
    }

    private static Automaton renumbered(CharSet[] classes, List<int[]> next, List<Boolean> accept, boolean[] live) {
        int[] number = new int[live.length];
        Arrays.fill(number, DEAD);
        List<Integer> order = new ArrayList<>();
        order.add(0);
        number[0] = 0;
        for (int i = 0; i < order.size(); i++) {
            for (int t : next.get(order.get(i))) {
                if (t >= 0 && live[t] && number[t] < 0) {
                    number[t] = order.size();
                    order.add(t);
                }
            }
        }
        int k = classes.length;
        int[] table = new int[order.size() * k];
        boolean[] accepts = new boolean[order.size()];
        for (int i = 0; i < order.size(); i++) {
            int[] row = next.get(order.get(i));
            for (int c = 0; c < k; c++) {
                table[i * k + c] = row[c] >= 0 && live[row[c]] ? number[row[c]] : DEAD;
            }
            accepts[i] = accept.get(order.get(i));
        }
        return new Automaton(classes, table, accepts);
    }

    public int states() {
        return accept.length;
    }

    public boolean accepts(int state) {
        return accept[state];
    }

    /** Whether it accepts nothing. */
    public boolean isEmpty() {
        return accept.length == 1 && !accept[0];
    }

    public int classes() {
        return classes.length;
    }

    /** The class of a symbol; -1: in none, so it leads nowhere. */
    public int classOf(int symbol) {
        for (int c = 0; c < classes.length; c++) {
            if (classes[c].contains(symbol)) {
                return c;
            }
        }
        return DEAD;
    }

    /** The next state by a class of symbols; -1: none. */
    public int next(int state, int classIndex) {
        return next[state * classes.length + classIndex];
    }

    /** The next state by a symbol; -1: none. */
    private int step(int state, int symbol) {
        int c = classOf(symbol);
        return c < 0 ? DEAD : next(state, c);
    }

    /** Whether it accepts the text, a code point a symbol. */
    public boolean accepts(String text) {
        int state = 0;
        for (int i = 0; i < text.length() && state >= 0; ) {
            int c = text.codePointAt(i);
            state = step(state, c);
            i += Character.charCount(c);
        }
        return state >= 0 && accept[state];
    }

    /** For each next state the symbols that lead there. */
    Map<Integer, CharSet> byTarget(int state) {
        Map<Integer, List<CharSet>> lists = new LinkedHashMap<>();
        for (int c = 0; c < classes.length; c++) {
            if (next(state, c) >= 0) {
                lists.computeIfAbsent(next(state, c), k -> new ArrayList<>()).add(classes[c]);
            }
        }
        Map<Integer, CharSet> sets = new LinkedHashMap<>();
        lists.forEach((t, list) -> sets.put(t, list.size() == 1 ? list.getFirst() : CharSet.union(list)));
        return sets;
    }

    /** What both accept. */
    public Automaton and(Automaton other, Budget budget) {
        return product(other, true, budget);
    }

    /** What this accepts and the other does not. */
    public Automaton minus(Automaton other, Budget budget) {
        return product(other, false, budget);
    }

    private Automaton product(Automaton other, boolean both, Budget budget) {
        List<CharSet> all = new ArrayList<>(Arrays.asList(classes));
        all.addAll(Arrays.asList(other.classes));
        Alphabet alphabet = Alphabet.of(all, budget);
        int k = alphabet.classes().length;
        int[] mine = new int[k];
        int[] theirs = new int[k];
        Arrays.fill(mine, DEAD);
        Arrays.fill(theirs, DEAD);
        for (int i = 0; i < all.size(); i++) {
            int[] target = i < classes.length ? mine : theirs;
            int index = i < classes.length ? i : i - classes.length;
            Arrays.stream(alphabet.classesOf()[i]).forEach(c -> target[c] = index);
        }
        Map<Long, Integer> numbers = new HashMap<>();
        List<Long> pairs = new ArrayList<>();
        pairs.add(0L);
        numbers.put(0L, 0);
        List<int[]> rows = new ArrayList<>();
        List<Boolean> accepts = new ArrayList<>();
        for (int i = 0; i < pairs.size(); i++) {
            int a = (int) (pairs.get(i) >> 32);
            int b = (int) (long) pairs.get(i);
            accepts.add(accept[a] && (both ? other.accept[b] : b < 0 || !other.accept[b]));
            int[] row = new int[k];
            for (int c = 0; c < k; c++) {
                int x = mine[c] < 0 ? DEAD : next(a, mine[c]);
                int y = b < 0 || theirs[c] < 0 ? DEAD : other.next(b, theirs[c]);
                row[c] = DEAD;
                if (x >= 0 && (y >= 0 || !both)) {
                    long pair = ((long) x << 32) | (y & 0xFFFFFFFFL);
                    Integer number = numbers.putIfAbsent(pair, pairs.size());
                    if (number == null) {
                        number = pairs.size();
                        pairs.add(pair);
                    }
                    row[c] = number;
                }
            }
            budget.spend(k);
            budget.states(pairs.size());
            rows.add(row);
        }
        return trimmed(alphabet.classes(), rows, accepts);
    }
}
