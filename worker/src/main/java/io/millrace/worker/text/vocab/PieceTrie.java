package io.millrace.worker.text.vocab;

import java.util.Arrays;

/** The normal tokens by their characters. Thread-safe once built. */
final class PieceTrie {

    static final int ROOT = 0;

    private final PairRanks edges;
    private int[] ids = new int[1024];
    private int nodes = 1;

    PieceTrie(Vocabulary vocabulary) {
        String[] tokens = vocabulary.tokens();
        Arrays.fill(ids, -1);
        edges = new PairRanks((int) Math.min(
                1 << 27, Arrays.stream(tokens).mapToLong(String::length).sum()));
        for (int id = 0; id < tokens.length; id++) {
            if (PieceMerges.isPiece(vocabulary, id) && !tokens[id].isEmpty()) {
                add(tokens[id], id);
            }
        }
    }

    private void add(String token, int id) {
        int node = ROOT;
        for (int i = 0; i < token.length(); i++) {
            int next = next(node, token.charAt(i));
            if (next < 0) {
                next = nodes++;
                if (next == ids.length) {
                    ids = Arrays.copyOf(ids, next * 2);
                    Arrays.fill(ids, next, next * 2, -1);
                }
                edges.put(node, token.charAt(i), 0, next);
            }
            node = next;
        }
        ids[node] = id;
    }

    /** -1: no token goes on so. */
    int next(int node, char c) {
        long edge = edges.get(node, c);
        return edge == PairRanks.NONE ? -1 : (int) edge;
    }

    /** Of the token that ends at the node; -1: none. */
    int id(int node) {
        return ids[node];
    }
}
