package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;

/** A terminal: a deterministic automaton over bytes as tables. From every state it can be completed. Immutable; compared by identity. */
public final class ByteDfa {

    private static final int BYTES = 256;

    private final byte[] classOf = new byte[BYTES];
    private final int classes;
    private final int[] next;
    private final boolean[] accept;

    private ByteDfa(int classes, int[] next, boolean[] accept) {
        this.classes = classes;
        this.next = next;
        this.accept = accept;
    }

    /** @param automaton over bytes */
    public static ByteDfa of(Automaton automaton, Budget budget) {
        int states = automaton.states();
        int classes = automaton.classes() + 1;
        budget.keep(states);
        budget.spend((long) states * classes / 8);
        int[] next = new int[states * classes];
        boolean[] accept = new boolean[states];
        for (int s = 0; s < states; s++) {
            for (int c = 0; c < classes; c++) {
                next[s * classes + c] = c == classes - 1 ? -1 : automaton.next(s, c);
            }
            accept[s] = automaton.accepts(s);
        }
        ByteDfa dfa = new ByteDfa(classes, next, accept);
        for (int b = 0; b < BYTES; b++) {
            int c = automaton.classOf(b);
            dfa.classOf[b] = (byte) (c < 0 ? classes - 1 : c);
        }
        return dfa;
    }

    int states() {
        return accept.length;
    }

    /** -1: none. */
    int next(int state, byte b) {
        return next[state * classes + (classOf[b & 0xFF] & 0xFF)];
    }

    boolean accepts(int state) {
        return accept[state];
    }

    /** Whether it can go on from here. */
    boolean continues(int state) {
        for (int c = 0; c < classes; c++) {
            if (next[state * classes + c] >= 0) {
                return true;
            }
        }
        return false;
    }

    boolean isEmpty() {
        return accept.length == 1 && !accept[0] && !continues(0);
    }
}
