package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What schemas together say of a number.
 *
 * @param min null: no bound
 * @param above {@code min} itself is excluded
 * @param max null: no bound
 * @param below {@code max} itself is excluded
 * @param multiples of each of these
 */
record NumberShape(
        boolean integer,
        @Nullable BigDecimal min,
        boolean above,
        @Nullable BigDecimal max,
        boolean below,
        List<BigDecimal> multiples) {

    private static final int DIGITS_MAX = 400;

    static NumberShape of(List<Located> schemas, boolean integer) {
        NumberShape shape = new NumberShape(integer, null, false, null, false, List.of());
        for (Located schema : schemas) {
            shape = shape.atLeast(number(schema, "minimum"), false)
                    .atLeast(number(schema, "exclusiveMinimum"), true)
                    .atMost(number(schema, "maximum"), false)
                    .atMost(number(schema, "exclusiveMaximum"), true);
            BigDecimal multiple = number(schema, "multipleOf");
            if (multiple != null) {
                if (multiple.signum() <= 0) {
                    throw schema.wrong("multipleOf", "above 0");
                }
                List<BigDecimal> multiples = new ArrayList<>(shape.multiples);
                multiples.add(multiple.stripTrailingZeros());
                shape = new NumberShape(
                        integer, shape.min, shape.above, shape.max, shape.below, List.copyOf(multiples));
            }
        }
        return shape;
    }

    private static @Nullable BigDecimal number(Located schema, String keyword) {
        BigDecimal number = schema.number(keyword);
        if (number != null && (number.precision() > DIGITS_MAX || Math.abs(number.scale()) > DIGITS_MAX)) {
            throw new GrammarException(
                    GrammarException.Kind.TOO_LARGE,
                    schema.place(keyword),
                    "'" + keyword + "' has more than " + DIGITS_MAX + " digits.");
        }
        return number == null ? null : number.stripTrailingZeros();
    }

    private NumberShape atLeast(@Nullable BigDecimal bound, boolean exclusive) {
        int order = bound == null ? -1 : min == null ? 1 : bound.compareTo(min);
        return order < 0
                ? this
                : new NumberShape(integer, bound, exclusive || order == 0 && above, max, below, multiples);
    }

    private NumberShape atMost(@Nullable BigDecimal bound, boolean exclusive) {
        int order = bound == null ? 1 : max == null ? -1 : bound.compareTo(max);
        return order > 0
                ? this
                : new NumberShape(integer, min, above, bound, exclusive || order == 0 && below, multiples);
    }

    boolean isAny() {
        return min == null && max == null && multiples.isEmpty();
    }
}
