package io.millrace.worker.text.grammar.machine;

import io.millrace.worker.text.Tokenizer;
import java.util.Arrays;
import java.util.Set;

/**
 * The tokens of a model as a trie of their bytes, in preorder. Control tokens, those that end a text and those without bytes are
 * not in it. A control token that is a marker has bytes of its own, which no text has: only a grammar that names it allows it. Immutable.
 */
public final class Vocabulary {

    private static final byte MARKER = (byte) 0xFF;

    private final int size;
    private final byte[][] bytes;
    /** [nodes] the byte that leads to each node; the root's means nothing. */
    private final byte[] label;

    private final int[] depth;
    /** [nodes] the first node that is no descendant. */
    private final int[] after;
    /** [nodes + 1] where the node's tokens begin in {@link #ids}. */
    private final int[] firstId;

    private final int[] ids;
    private final int maxDepth;

    /** Without markers. */
    public static Vocabulary of(Tokenizer tokenizer, int size) {
        return of(tokenizer, size, Set.of());
    }

    /**
     * @param size ids of the model are below it; tokens beyond it are left out
     * @param markers ids of control tokens that grammars may name
     */
    public static Vocabulary of(Tokenizer tokenizer, int size, Set<Integer> markers) {
        byte[][] bytes = new byte[size][];
        Arrays.fill(bytes, new byte[0]);
        int[] eos = tokenizer.eosIds();
        for (int id = 0; id < Math.min(size, tokenizer.vocabularySize()); id++) {
            int token = id;
            if (markers.contains(id)) {
                bytes[id] = marker(id);
            } else if (!tokenizer.isControl(id) && Arrays.stream(eos).noneMatch(e -> e == token)) {
                byte[] own = tokenizer.bytes(id);
                bytes[id] = isUtf8(own) ? own : new byte[0];
            }
        }
        return new Vocabulary(bytes);
    }

    /** Bytes of a marker: they begin with one that UTF-8 does not have. */
    public static byte[] marker(int id) {
        return new byte[] {MARKER, (byte) (id >> 16), (byte) (id >> 8), (byte) id};
    }

    private static boolean isUtf8(byte[] token) {
        for (byte b : token) {
            if (b == MARKER) {
                return false;
            }
        }
        return true;
    }

    private Vocabulary(byte[][] bytes) {
        this.size = bytes.length;
        this.bytes = bytes;
        Integer[] order = java.util.stream.IntStream.range(0, size)
                .filter(id -> bytes[id].length > 0)
                .boxed()
                .toArray(Integer[]::new);
        Arrays.sort(order, (a, b) -> Arrays.compareUnsigned(bytes[a], bytes[b]));
        int most = 1 + Arrays.stream(order).mapToInt(id -> bytes[id].length).sum();
        byte[] labels = new byte[most];
        int[] depths = new int[most];
        int[] first = new int[most + 1];
        ids = new int[order.length];
        int nodes = 1;
        int deepest = 0;
        byte[] before = {};
        for (int i = 0; i < order.length; i++) {
            byte[] token = bytes[order[i]];
            int common = Arrays.mismatch(before, token);
            for (int d = common < 0 ? token.length : common; d < token.length; d++) {
                labels[nodes] = token[d];
                depths[nodes] = d + 1;
                first[nodes++] = i;
            }
            ids[i] = order[i];
            first[nodes] = i + 1;
            deepest = Math.max(deepest, token.length);
            before = token;
        }
        first[nodes] = order.length;
        label = Arrays.copyOf(labels, nodes);
        depth = Arrays.copyOf(depths, nodes);
        firstId = Arrays.copyOf(first, nodes + 1);
        maxDepth = deepest;
        after = new int[nodes];
        int[] open = new int[deepest + 2];
        int top = -1;
        for (int n = 0; n <= nodes; n++) {
            int level = n == nodes ? 0 : depth[n];
            while (top >= 0 && (n == nodes || depth[open[top]] >= level)) {
                after[open[top--]] = n;
            }
            if (n < nodes) {
                open[++top] = n;
            }
        }
    }

    /** Ids of the model. */
    public int size() {
        return size;
    }

    /** Words of a mask. */
    public int words() {
        return (size + 31) / 32;
    }

    /** Not to be changed; empty for a token that gives no text. */
    public byte[] bytes(int id) {
        return id >= 0 && id < size ? bytes[id] : new byte[0];
    }

    int nodes() {
        return label.length;
    }

    byte label(int node) {
        return label[node];
    }

    /** 0: the root. */
    int depth(int node) {
        return depth[node];
    }

    int maxDepth() {
        return maxDepth;
    }

    /** The first node behind the node's subtree. */
    int after(int node) {
        return after[node];
    }

    /** Sets the bits of the tokens that end at a node. */
    void set(int node, int[] words) {
        for (int i = firstId[node]; i < firstId[node + 1]; i++) {
            words[ids[i] >> 5] |= 1 << ids[i];
        }
    }
}
