package io.millrace.worker.text.grammar.machine;

import org.jspecify.annotations.Nullable;

/**
 * A place in a grammar: within a terminal, over a stack.
 *
 * @param stack null: the text is complete when the terminal is
 */
record Config(int terminal, int state, @Nullable Frame stack) {

    @Override
    public boolean equals(Object other) {
        return other instanceof Config c && terminal == c.terminal && state == c.state && Frame.same(stack, c.stack);
    }

    @Override
    public int hashCode() {
        return (terminal * 31 + state) * 31 + Frame.hash(stack);
    }
}
