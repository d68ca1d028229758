package io.millrace.worker.text.grammar.machine;

import org.jspecify.annotations.Nullable;

/** Where to go on when a rule or a terminal is complete: the top of a stack that shares its rest. Immutable. */
final class Frame {

    final int node;
    final @Nullable Frame parent;
    final int depth;
    private final int hash;

    Frame(int node, @Nullable Frame parent) {
        this.node = node;
        this.parent = parent;
        this.depth = parent == null ? 1 : parent.depth + 1;
        this.hash = node + 31 * (parent == null ? 17 : parent.hash);
    }

    static boolean same(@Nullable Frame a, @Nullable Frame b) {
        Frame x = a;
        Frame y = b;
        while (x != y) {
            if (x == null || y == null || x.hash != y.hash || x.node != y.node) {
                return false;
            }
            x = x.parent;
            y = y.parent;
        }
        return true;
    }

    static int hash(@Nullable Frame frame) {
        return frame == null ? 0 : frame.hash;
    }
}
