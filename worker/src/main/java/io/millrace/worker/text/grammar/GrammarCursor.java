package io.millrace.worker.text.grammar;

import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.grammar.machine.Grammar;
import io.millrace.worker.text.grammar.machine.Masks;
import io.millrace.worker.text.grammar.machine.State;
import java.util.concurrent.FutureTask;

/**
 * How far one output is in its grammar: a pure function of its ids. Not thread-safe; the masks it gives are computed on a thread of
 * their own.
 */
public final class GrammarCursor {

    private final Masks masks;
    private State state;

    GrammarCursor(State start, Masks masks) {
        this.state = start;
        this.masks = masks;
    }

    /** Goes on by a token; false, and nothing changes, when the grammar does not allow it. */
    public boolean accept(int id) {
        byte[] bytes = masks.vocabulary().bytes(id);
        State next = bytes.length == 0 ? null : Grammar.advance(state, bytes);
        if (next == null) {
            return false;
        }
        state = next;
        return true;
    }

    /** Whether the output is complete as it is. */
    public boolean accepting() {
        return state.accepting();
    }

    /** Whether the output is complete and nothing can follow. */
    public boolean finished() {
        return state.finished();
    }

    /**
     * The ids that may come next. Begins to compute, if it is not known; whoever reads it waits.
     *
     * @param ends ids that end the output: allowed when it is complete
     */
    public TokenMask mask(int[] ends) {
        State at = state;
        int[] known = masks.known(at);
        if (known != null) {
            int[] words = withEnds(known, at, ends);
            return () -> words;
        }
        FutureTask<int[]> task = new FutureTask<>(() -> withEnds(masks.of(at), at, ends));
        Thread.ofVirtual().name("millrace-mask").start(task);
        return new ComputedMask(task);
    }

    private static int[] withEnds(int[] words, State state, int[] ends) {
        if (!state.accepting()) {
            return words;
        }
        int[] copy = words.clone();
        for (int id : ends) {
            if (id >= 0 && id >> 5 < copy.length) {
                copy[id >> 5] |= 1 << id;
            }
        }
        return copy;
    }
}
