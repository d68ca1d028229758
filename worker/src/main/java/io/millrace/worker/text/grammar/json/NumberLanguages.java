package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.CharSet;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which numbers a shape allows, as automata over bytes. Where anything is said of the value, it is written without an exponent. Not
 * thread-safe.
 */
final class NumberLanguages {

    private static final int MULTIPLE_STATES_MAX = 20_000;
    private static final Rx DIGIT = Rx.range('0', '9');
    private static final Rx DIGITS = Rx.star(DIGIT);
    private static final Rx NOT_ZERO = Rx.seq(DIGITS, Rx.range('1', '9'), DIGITS);
    private static final Rx INTEGER = RegexParser.parse("0|[1-9][0-9]*");
    private static final Rx FRACTION = RegexParser.parse("(\\.[0-9]+)?");

    private final Budget budget;
    private final Map<NumberShape, Automaton> known = new HashMap<>();

    NumberLanguages(Budget budget) {
        this.budget = budget;
    }

    Automaton of(NumberShape shape) {
        Automaton automaton = known.get(shape);
        if (automaton == null) {
            automaton = build(shape);
            known.put(shape, automaton);
        }
        return automaton;
    }

    private Automaton build(NumberShape shape) {
        Rx sign = Rx.optional(Rx.literal("-"));
        if (shape.isAny()) {
            Rx exponent = RegexParser.parse("([eE][+-]?[0-9]{1,2})?");
            return (shape.integer() ? Rx.seq(sign, INTEGER) : Rx.seq(sign, INTEGER, FRACTION, exponent))
                    .compile(budget);
        }
        Automaton magnitude = (shape.integer() ? INTEGER : Rx.seq(INTEGER, FRACTION)).compile(budget);
        for (BigDecimal multiple : shape.multiples()) {
            magnitude = magnitude.and(multiples(multiple, shape.integer()), budget);
        }
        Automaton positive = within(magnitude, shape.min(), shape.above(), shape.max(), shape.below());
        Automaton negative =
                within(magnitude, negated(shape.max()), shape.below(), negated(shape.min()), shape.above());
        return Rx.alt(new Rx.Embedded(positive), Rx.seq(Rx.literal("-"), new Rx.Embedded(negative)))
                .compile(budget);
    }

    private static @Nullable BigDecimal negated(@Nullable BigDecimal value) {
        return value == null ? null : value.negate();
    }

    /** Magnitudes from {@code min} to {@code max}. */
    private Automaton within(
            Automaton magnitude, @Nullable BigDecimal min, boolean above, @Nullable BigDecimal max, boolean below) {
        Automaton result = magnitude;
        if (min != null && (min.signum() > 0 || min.signum() == 0 && above)) {
            result = result.and(from(min, above), budget);
        }
        if (max != null) {
            result = max.signum() < 0 ? new Rx.Alt(List.of()).compile(budget) : result.minus(from(max, !below), budget);
        }
        return result;
    }

    /** All decimals of at least a bound, or above it. */
    private Automaton from(BigDecimal bound, boolean exclusive) {
        String plain = bound.toPlainString();
        int point = plain.indexOf('.');
        String whole = point < 0 ? plain : plain.substring(0, point);
        String part = point < 0 ? "" : plain.substring(point + 1).replaceAll("0+$", "");
        List<Rx> options = new ArrayList<>();
        options.add(Rx.seq(Rx.range('1', '9'), new Rx.Repeat(DIGIT, whole.length(), -1), FRACTION));
        for (int i = 0; i < whole.length(); i++) {
            if (whole.charAt(i) < '9') {
                options.add(Rx.seq(
                        Rx.literal(whole.substring(0, i)),
                        Rx.range(whole.charAt(i) + 1, '9'),
                        new Rx.Repeat(DIGIT, whole.length() - i - 1, whole.length() - i - 1),
                        FRACTION));
            }
        }
        List<Rx> fractions = new ArrayList<>();
        for (int i = 0; i < part.length(); i++) {
            if (part.charAt(i) < '9') {
                fractions.add(Rx.seq(Rx.literal(part.substring(0, i)), Rx.range(part.charAt(i) + 1, '9'), DIGITS));
            }
        }
        fractions.add(Rx.seq(Rx.literal(part), exclusive ? NOT_ZERO : DIGITS));
        options.add(Rx.seq(Rx.literal(whole + "."), new Rx.Alt(fractions)));
        if (part.isEmpty() && !exclusive) {
            options.add(Rx.literal(whole));
        }
        return new Rx.Alt(options).compile(budget);
    }

    /** Digits with an optional point whose value is a multiple: the remainder of what was read is the state. */
    private Automaton multiples(BigDecimal multiple, boolean integer) {
        int places = Math.max(0, multiple.scale());
        BigInteger step = multiple.movePointRight(places).toBigIntegerExact();
        if (integer) {
            step = step.divide(step.gcd(BigInteger.TEN.pow(places)));
            places = 0;
        }
        if (step.compareTo(BigInteger.valueOf(MULTIPLE_STATES_MAX / (places + 1))) > 0) {
            throw GrammarException.tooLarge("'multipleOf' " + multiple.toPlainString()
                    + " needs more than %,d states.".formatted(MULTIPLE_STATES_MAX));
        }
        return remainders(step.intValueExact(), places);
    }

    private static Automaton remainders(int step, int places) {
        CharSet[] classes = new CharSet[11];
        for (int d = 0; d < 10; d++) {
            classes[d] = CharSet.of('0' + d);
        }
        classes[10] = CharSet.of('.');
        // State r + step * k: remainder r; k is 0 before the point, then 1 + digits behind it.
        List<int[]> rows = new ArrayList<>();
        List<Boolean> accepts = new ArrayList<>();
        for (int k = 0; k <= places + 1; k++) {
            int behind = Math.max(0, k - 1);
            long scale = 1;
            for (int i = behind; i < places; i++) {
                scale = scale * 10 % step;
            }
            for (int r = 0; r < step; r++) {
                int[] row = new int[11];
                Arrays.fill(row, -1);
                for (int d = 0; d < 10; d++) {
                    boolean last = k == places + 1;
                    int then = last ? r : (int) ((r * 10L + d) % step);
                    if (!last || d == 0) {
                        row[d] = then + step * (k == 0 || last ? k : k + 1);
                    }
                }
                row[10] = k == 0 ? r + step : -1;
                rows.add(row);
                accepts.add(r * scale % step == 0);
            }
        }
        return Automaton.of(classes, rows, accepts);
    }
}
