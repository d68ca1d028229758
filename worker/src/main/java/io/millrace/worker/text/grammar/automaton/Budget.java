package io.millrace.worker.text.grammar.automaton;

/**
 * What compiling one grammar may cost. Counts, not clocks, so that every worker refuses the same grammars. Not thread-safe.
 */
public final class Budget {

    /** Most states of all automata of a grammar together. */
    public static final int STATES_MAX = 200_000;

    private static final long WORK_MAX = 40_000_000;
    private static final int NODES_MAX = 600_000;

    private long work;
    private int states;

    /** Counts states that stay. */
    public void keep(int count) {
        states += count;
        if (states > STATES_MAX) {
            throw GrammarException.tooLarge(
                    "it needs more than %,d states. Make it simpler: shorter repetitions and lengths, fewer alternatives."
                            .formatted(STATES_MAX));
        }
    }

    /** Counts steps of work. */
    public void spend(long steps) {
        work += steps;
        if (work > WORK_MAX) {
            throw GrammarException.tooLarge(
                    "it takes too long to compile. Make it simpler: shorter repetitions, fewer alternatives.");
        }
    }

    void states(int count) {
        if (states + count > STATES_MAX) {
            keep(count);
        }
    }

    void nodes(int count) {
        if (count > NODES_MAX) {
            throw GrammarException.tooLarge(
                    "it has more than %,d nodes. Make its repetitions shorter.".formatted(NODES_MAX));
        }
    }
}
