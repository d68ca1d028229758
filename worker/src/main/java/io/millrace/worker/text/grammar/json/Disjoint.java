package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Proves that no value satisfies two schemas at once, so that {@code oneOf} is the same as {@code anyOf}. May fail to prove what is
 * so, never the reverse.
 */
final class Disjoint {

    private static final int DEPTH_MAX = 4;

    private final StringLanguages strings;
    private final NumberLanguages numbers;
    private final Instances instances;
    private final Budget budget;
    private final Set<Located> checked = new HashSet<>();
    private final Map<Flat, ObjectShape> shapes = new HashMap<>();

    Disjoint(StringLanguages strings, NumberLanguages numbers, Instances instances, Budget budget) {
        this.strings = strings;
        this.numbers = numbers;
        this.instances = instances;
        this.budget = budget;
    }

    /** Throws, naming the schema's {@code oneOf}, unless each pair of options is proved disjoint. */
    void check(Located schema, List<Located> options, Alternatives alternatives) {
        if (!checked.add(schema)) {
            return;
        }
        List<List<Flat>> ways = new ArrayList<>();
        options.forEach(option -> ways.add(alternatives.of(List.of(option))));
        for (int i = 0; i < ways.size(); i++) {
            for (int j = 0; j < i; j++) {
                if (!disjoint(ways.get(i), ways.get(j), alternatives, 0)) {
                    throw schema.unsupported(
                            "oneOf",
                            "is supported only where no value can satisfy two of its schemas; numbers " + j + " and "
                                    + i + " may overlap. Use 'anyOf', or a property with a different 'const' in each.");
                }
            }
        }
    }

    private boolean disjoint(List<Flat> some, List<Flat> others, Alternatives alternatives, int depth) {
        return some.stream().allMatch(a -> others.stream().allMatch(b -> disjoint(a, b, alternatives, depth)));
    }

    private boolean disjoint(Flat a, Flat b, Alternatives alternatives, int depth) {
        budget.spend(100);
        if (a.isLiteral() || b.isLiteral()) {
            Flat literal = a.isLiteral() ? a : b;
            Flat other = a.isLiteral() ? b : a;
            return literal.literals(instances).stream()
                    .noneMatch(value -> other.schemas().stream().allMatch(s -> instances.holds(value, s)));
        }
        for (Flat.Type type : Flat.Type.values()) {
            if (has(a, type) && has(b, type) && !disjoint(type, a, b, alternatives, depth)) {
                return false;
            }
        }
        return true;
    }

    private static boolean has(Flat flat, Flat.Type type) {
        Set<Flat.Type> types = flat.types();
        return types.contains(type) || type == Flat.Type.INTEGER && types.contains(Flat.Type.NUMBER);
    }

    private boolean disjoint(Flat.Type type, Flat a, Flat b, Alternatives alternatives, int depth) {
        return switch (type) {
            case NULL, BOOLEAN -> false;
            case STRING ->
                strings.of(strings.shape(a.schemas()))
                        .and(strings.of(strings.shape(b.schemas())), budget)
                        .isEmpty();
            case INTEGER, NUMBER -> number(a).and(number(b), budget).isEmpty();
            case ARRAY -> {
                ArrayShape x = ArrayShape.of(a);
                ArrayShape y = ArrayShape.of(b);
                yield x.min() > y.max() || y.min() > x.max();
            }
            case OBJECT -> depth < DEPTH_MAX && objects(a, b, alternatives, depth);
        };
    }

    private Automaton number(Flat flat) {
        boolean integer = !flat.types().contains(Flat.Type.NUMBER);
        NumberShape shape = NumberShape.of(flat.schemas(), integer);
        return numbers.of(shape);
    }

    /** A property that both demand, with disjoint values; or one that one demands and the other forbids. */
    private boolean objects(Flat a, Flat b, Alternatives alternatives, int depth) {
        ObjectShape x = shape(a);
        ObjectShape y = shape(b);
        Set<String> names = new HashSet<>(x.required());
        names.addAll(y.required());
        for (String name : names) {
            boolean both = x.required().contains(name) && y.required().contains(name);
            List<Flat> mine = value(x, a, name, alternatives);
            List<Flat> theirs = value(y, b, name, alternatives);
            if (mine.isEmpty() || theirs.isEmpty() || both && disjoint(mine, theirs, alternatives, depth + 1)) {
                return true;
            }
        }
        return false;
    }

    private ObjectShape shape(Flat flat) {
        return shapes.computeIfAbsent(flat, this::shapeOf);
    }

    private ObjectShape shapeOf(Flat flat) {
        return ObjectShape.of(
                flat, strings, strings.of(new StringLanguages.Shape(0, -1, List.of(), List.of())), budget);
    }

    private List<Flat> value(ObjectShape shape, Flat flat, String name, Alternatives alternatives) {
        Map<String, List<Located>> named = shape.named();
        List<Located> schemas = new ArrayList<>();
        if (named.containsKey(name)) {
            schemas.addAll(named.get(name));
        } else {
            flat.schemas().forEach(s -> schemas.addAll(strings.propertySchemas(s, name)));
        }
        return alternatives.of(schemas);
    }
}
