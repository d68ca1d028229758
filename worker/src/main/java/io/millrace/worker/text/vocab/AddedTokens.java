package io.millrace.worker.text.vocab;

import io.millrace.worker.text.vocab.Vocabulary.AddedRule;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Finds tokens that are written out in text, control and user-defined ones: leftmost, then longest. Thread-safe. */
final class AddedTokens {

    private static final AddedRule AS_IT_STANDS = new AddedRule(false, false, false);

    /** A token in a text, with the white space that belongs to it. */
    record Match(int start, int end, int id) {}

    /** A node of the trie over characters. */
    private static final class Node {
        private final Map<Character, Node> next = new HashMap<>();
        private AddedRule rule = AS_IT_STANDS;
        private int id = -1;
    }

    private final Node root = new Node();
    /** Whether a token begins with this character, for those below 128: most text is passed over by this table. */
    private final boolean[] starts = new boolean[128];

    private boolean empty = true;

    void add(String token, int id, @Nullable AddedRule rule) {
        if (token.isEmpty()) {
            return;
        }
        empty = false;
        Node node = root;
        for (int i = 0; i < token.length(); i++) {
            node = node.next.computeIfAbsent(token.charAt(i), c -> new Node());
        }
        node.id = id;
        node.rule = rule == null ? AS_IT_STANDS : rule;
        if (token.charAt(0) < starts.length) {
            starts[token.charAt(0)] = true;
        }
    }

    /** The first token that begins at {@code from} or after it. */
    @Nullable
    Match find(String text, int from) {
        if (empty) {
            return null;
        }
        for (int at = from; at < text.length(); at++) {
            char first = text.charAt(at);
            if (first < starts.length && !starts[first]) {
                continue;
            }
            Match match = longest(text, from, at);
            if (match != null) {
                return match;
            }
        }
        return null;
    }

    private @Nullable Match longest(String text, int from, int at) {
        Node node = root;
        Node found = null;
        int end = at;
        for (int i = at; i < text.length(); i++) {
            Node next = node.next.get(text.charAt(i));
            if (next == null) {
                break;
            }
            node = next;
            if (node.id >= 0 && (!node.rule.singleWord() || standsAlone(text, at, i + 1))) {
                found = node;
                end = i + 1;
            }
        }
        if (found == null) {
            return null;
        }
        int start = at;
        while (found.rule.stripLeft() && start > from && isSpace(text.charAt(start - 1))) {
            start--;
        }
        while (found.rule.stripRight() && end < text.length() && isSpace(text.charAt(end))) {
            end++;
        }
        return new Match(start, end, found.id);
    }

    private static boolean standsAlone(String text, int start, int end) {
        return (start == 0 || !isWord(text.codePointBefore(start)))
                && (end == text.length() || !isWord(text.codePointAt(end)));
    }

    private static boolean isWord(int c) {
        return Character.isLetterOrDigit(c) || c == '_' || Character.getType(c) == Character.NON_SPACING_MARK;
    }

    /** Unicode's White_Space. */
    private static boolean isSpace(char c) {
        return Character.isWhitespace(c) && (c < 0x1C || c > 0x1F) || Character.isSpaceChar(c) || c == '\u0085';
    }
}
