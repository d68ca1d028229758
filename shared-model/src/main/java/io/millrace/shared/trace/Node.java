package io.millrace.shared.trace;

import java.util.List;

/**
 * One line of the tree: something that took a while, or happened at a moment.
 *
 * @param endMs equal to {@code startMs} for a moment
 * @param open it has not ended: the end is when the log was read
 * @param notes further lines about it
 */
public record Node(String name, long startMs, long endMs, boolean open, List<String> notes, List<Node> children) {

    public Node {
        notes = List.copyOf(notes);
        children = List.copyOf(children);
    }

    static Node moment(String name, long atMs, String... notes) {
        return new Node(name, atMs, atMs, false, List.of(notes), List.of());
    }

    static Node span(String name, long startMs, long endMs, String... notes) {
        return new Node(name, startMs, Math.max(startMs, endMs), false, List.of(notes), List.of());
    }

    /** Milliseconds; 0 of a moment. */
    public long tookMs() {
        return endMs - startMs;
    }
}
