package io.millrace.worker.text.gguf;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Finds tokens that are written out in text, control and user-defined ones: leftmost, then longest. Thread-safe. */
final class AddedTokens {

    /** A node of the trie over characters. */
    private static final class Node {
        private final Map<Character, Node> next = new HashMap<>();
        private int id = -1;
    }

    private final Node root = new Node();
    /** Whether a token begins with this character, for those below 128: most text is passed over by this table. */
    private final boolean[] starts = new boolean[128];

    private boolean empty = true;

    void add(String token, int id) {
        if (token.isEmpty()) {
            return;
        }
        empty = false;
        Node node = root;
        for (int i = 0; i < token.length(); i++) {
            node = node.next.computeIfAbsent(token.charAt(i), c -> new Node());
        }
        node.id = id;
        if (token.charAt(0) < starts.length) {
            starts[token.charAt(0)] = true;
        }
    }

    boolean isEmpty() {
        return empty;
    }

    /** The longest token at this place as (length, id), or null. */
    int @Nullable [] match(String text, int at) {
        char first = text.charAt(at);
        if (empty || (first < starts.length && !starts[first])) {
            return null;
        }
        Node node = root;
        int[] found = {0, -1};
        for (int i = at; i < text.length(); i++) {
            Node next = node.next.get(text.charAt(i));
            if (next == null) {
                break;
            }
            node = next;
            if (node.id >= 0) {
                found[0] = i + 1 - at;
                found[1] = node.id;
            }
        }
        return found[1] < 0 ? null : Arrays.copyOf(found, 2);
    }
}
