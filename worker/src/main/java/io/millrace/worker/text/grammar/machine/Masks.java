package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import org.jspecify.annotations.Nullable;

/**
 * Which tokens of a vocabulary may come next, for any state of any grammar. A mask is put together from what each terminal's state says
 * by itself, found once by a walk over the whole trie, and from short walks where tokens go beyond a terminal's end. Both are
 * cached. Thread-safe.
 */
public final class Masks {

    private static final long CACHE_BYTES = 64L << 20;
    /** Places followed for one mask; an unambiguous grammar needs a few thousand. */
    private static final int WORK_MAX = 2_000_000;

    private record InnerKey(ByteDfa terminal, int state) {}

    private final Vocabulary vocabulary;
    private final Lru<InnerKey, Inner> inners = new Lru<>(CACHE_BYTES, Inner::size);
    private final Lru<State, int[]> masks = new Lru<>(CACHE_BYTES, words -> 4L * words.length + 512);

    public Masks(Vocabulary vocabulary) {
        this.vocabulary = vocabulary;
    }

    public Vocabulary vocabulary() {
        return vocabulary;
    }

    /** The mask of a state if it is known. */
    public int @Nullable [] known(State state) {
        return masks.get(state);
    }

    /**
     * One bit for each id, 1: allowed; ids that end a text are not among them. Not to be changed.
     *
     * @throws GrammarException when the grammar is too ambiguous there to be followed in bounded time
     */
    public int[] of(State state) {
        int[] words = masks.get(state);
        if (words == null) {
            words = compute(state);
            masks.put(state, words);
        }
        return words;
    }

    private int[] compute(State state) {
        int[] words = new int[vocabulary.words()];
        int work = 0;
        for (Config config : state.configs) {
            Inner inner = inner(state.grammar.terminal(config.terminal()), config.state());
            int[] own = inner.words();
            for (int i = 0; i < words.length; i++) {
                words[i] |= own[i];
            }
            if (inner.exits().length > 0) {
                work = beyond(state.grammar, config, inner.exits(), words, work);
            }
        }
        return words;
    }

    private Inner inner(ByteDfa terminal, int state) {
        InnerKey key = new InnerKey(terminal, state);
        Inner inner = inners.get(key);
        if (inner == null) {
            inner = Inner.of(terminal, state, vocabulary);
            inners.put(key, inner);
        }
        return inner;
    }

    /**
     * Tokens that go on after the terminal: the same state follows, wherever it ends.
     *
     * @return work so far, with what this took
     */
    private int beyond(Grammar grammar, Config config, int[] exits, int[] words, int work) {
        Closure closure = new Closure(grammar);
        closure.pop(config.stack());
        State next = closure.state();
        if (next == null || next.configs.length == 0) {
            return work;
        }
        State[] states = new State[vocabulary.maxDepth() + 1];
        int sum = work;
        for (int exit : exits) {
            sum += walk(exit, next, states, words);
            if (sum > WORK_MAX) {
                throw GrammarException.tooLarge("The grammar is too ambiguous to be followed here. Make it simpler.");
            }
        }
        return sum;
    }

    private int walk(int root, State from, @Nullable State[] states, int[] words) {
        int work = 0;
        states[vocabulary.depth(root)] = from;
        int end = vocabulary.after(root);
        for (int node = root + 1; node < end; ) {
            int depth = vocabulary.depth(node);
            State before = states[depth - 1];
            State next = before == null ? null : Grammar.step(before, vocabulary.label(node));
            work += 1 + (next == null ? 0 : next.configs.length);
            if (work > WORK_MAX) {
                return work;
            }
            if (next == null) {
                node = vocabulary.after(node);
                continue;
            }
            states[depth] = next;
            vocabulary.set(node, words);
            node++;
        }
        return work;
    }
}
