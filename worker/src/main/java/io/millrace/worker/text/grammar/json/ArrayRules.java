package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.List;
import java.util.function.ToIntFunction;

/** Puts arrays between nodes of a grammar. */
final class ArrayRules {

    private static final int COUNT_MAX = 10_000;

    private final GrammarBuilder grammar;
    private final JsonTokens tokens;
    private final ToIntFunction<List<Located>> rules;

    /** @param rules the rule of values that satisfy schemas */
    ArrayRules(GrammarBuilder grammar, JsonTokens tokens, ToIntFunction<List<Located>> rules) {
        this.grammar = grammar;
        this.tokens = tokens;
        this.rules = rules;
    }

    void add(Flat flat, int from, int to) {
        ArrayShape shape = ArrayShape.of(flat);
        for (String keyword : List.of("minItems", "maxItems")) {
            for (Located schema : flat.schemas()) {
                if (schema.has(keyword) && schema.count(keyword, 0) > COUNT_MAX) {
                    throw new GrammarException(
                            GrammarException.Kind.TOO_LARGE,
                            schema.place(keyword),
                            "'%s' is above %,d, the most that can be counted.".formatted(keyword, COUNT_MAX));
                }
            }
        }
        int empty = grammar.node();
        grammar.terminal(from, tokens.open("["), empty);
        if (shape.min() == 0) {
            grammar.terminal(empty, tokens.word("]"), to);
        }
        boolean bounded = shape.max() < Integer.MAX_VALUE;
        int last = bounded ? shape.max() : Math.max(shape.prefix().size(), shape.min()) + 1;
        // Behind i items; the last goes round when there is no bound.
        int before = empty;
        for (int i = 1; i <= last; i++) {
            List<Located> item = i <= shape.prefix().size() ? shape.prefix().get(i - 1) : shape.rest();
            int behind = grammar.node();
            grammar.call(before, rules.applyAsInt(item), behind);
            if (i >= shape.min()) {
                grammar.terminal(behind, tokens.close("]"), to);
            }
            if (i < last || !bounded) {
                int next = grammar.node();
                grammar.terminal(behind, tokens.open(","), next);
                before = next;
                if (i == last) {
                    grammar.call(next, rules.applyAsInt(shape.rest()), behind);
                }
            }
        }
    }
}
