package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.machine.ByteDfa;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;

/**
 * Puts objects between nodes of a grammar: a node for each place in the order of names and each number of properties so far that makes
 * a difference.
 */
final class ObjectRules {

    private static final int COUNT_MAX = 1_000;

    private final GrammarBuilder grammar;
    private final JsonTokens tokens;
    private final ToIntFunction<List<Located>> rules;

    /** @param rules the rule of values that satisfy schemas */
    ObjectRules(GrammarBuilder grammar, JsonTokens tokens, ToIntFunction<List<Located>> rules) {
        this.grammar = grammar;
        this.tokens = tokens;
        this.rules = rules;
    }

    void add(ObjectShape shape, int from, int to) {
        int most = counted(shape);
        int[] at = nodes(most);
        grammar.terminal(from, tokens.open("{"), at[0]);
        for (Map.Entry<String, List<Located>> each : shape.named().entrySet()) {
            int[] next = nodes(most);
            int rule = rules.applyAsInt(each.getValue());
            ByteDfa first = tokens.name(each.getKey(), true);
            ByteDfa later = tokens.name(each.getKey(), false);
            for (int count = 0; count <= most; count++) {
                if (more(shape, count, most)) {
                    property(at[count], count == 0 ? first : later, rule, next[Math.min(count + 1, most)]);
                }
                if (!shape.required().contains(each.getKey())) {
                    grammar.epsilon(at[count], next[count]);
                }
            }
            at = next;
        }
        others(shape, at, most);
        for (int count = 0; count <= most; count++) {
            if (count >= Math.min(shape.min(), most)) {
                grammar.terminal(at[count], count == 0 ? tokens.word("}") : tokens.close("}"), to);
            }
        }
    }

    private void others(ObjectShape shape, int[] at, int most) {
        for (ObjectShape.Others each : shape.others()) {
            int rule = rules.applyAsInt(each.schemas());
            ByteDfa first = tokens.name(each.names(), true);
            ByteDfa later = tokens.name(each.names(), false);
            for (int count = 0; count <= most; count++) {
                if (more(shape, count, most)) {
                    property(at[count], count == 0 ? first : later, rule, at[Math.min(count + 1, most)]);
                }
            }
        }
    }

    private void property(int from, ByteDfa name, int rule, int to) {
        int value = grammar.node();
        grammar.terminal(from, name, value);
        grammar.call(value, rule, to);
    }

    private static boolean more(ObjectShape shape, int count, int most) {
        return count < most || shape.max() > most;
    }

    /** The number of properties beyond which the exact number makes no difference. */
    private static int counted(ObjectShape shape) {
        boolean bounded = shape.max() < Integer.MAX_VALUE
                && (!shape.others().isEmpty() || shape.max() < shape.named().size());
        int most = Math.max(1, Math.max(shape.min(), bounded ? shape.max() : 0));
        if (most > COUNT_MAX || (long) most * shape.named().size() > 100L * COUNT_MAX) {
            throw GrammarException.tooLarge(
                    "'minProperties' or 'maxProperties' is above %,d, the most that can be counted."
                            .formatted(COUNT_MAX));
        }
        return bounded && shape.max() == 0 ? 0 : most;
    }

    private int[] nodes(int most) {
        List<Integer> nodes = new ArrayList<>();
        for (int count = 0; count <= most; count++) {
            nodes.add(grammar.node());
        }
        return nodes.stream().mapToInt(Integer::intValue).toArray();
    }
}
