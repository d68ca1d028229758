package io.millrace.worker.text.grammar.machine;

import java.util.Arrays;

/**
 * What a state of a terminal says by itself, whatever the stack below it.
 *
 * @param words tokens that stay within the terminal, or end with it
 * @param exits nodes of the trie at which the terminal may be complete and tokens go on
 */
record Inner(int[] words, int[] exits) {

    static Inner of(ByteDfa dfa, int state, Vocabulary vocabulary) {
        int[] words = new int[vocabulary.words()];
        int[] exits = new int[16];
        int count = 0;
        int[] states = new int[vocabulary.maxDepth() + 1];
        states[0] = state;
        int nodes = vocabulary.nodes();
        for (int node = 1; node < nodes; ) {
            int depth = vocabulary.depth(node);
            int next = dfa.next(states[depth - 1], vocabulary.label(node));
            if (next < 0) {
                node = vocabulary.after(node);
                continue;
            }
            states[depth] = next;
            vocabulary.set(node, words);
            if (dfa.accepts(next) && vocabulary.after(node) > node + 1) {
                if (count == exits.length) {
                    exits = Arrays.copyOf(exits, 2 * count);
                }
                exits[count++] = node;
            }
            node++;
        }
        return new Inner(words, Arrays.copyOf(exits, count));
    }

    int size() {
        return 4 * (words.length + exits.length) + 64;
    }
}
