package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Which strings schemas allow, as automata over code points. Not thread-safe. */
final class StringLanguages {

    private static final int LENGTH_MAX = 10_000;

    private final Budget budget;
    private final Map<String, Automaton> patterns = new HashMap<>();
    private final Map<Shape, Automaton> shapes = new HashMap<>();

    /**
     * Everything that is said of a string.
     *
     * @param max -1: no bound
     */
    record Shape(int min, int max, List<String> patterns, List<String> formats) {
        boolean isAny() {
            return min == 0 && isByLength() && max < 0;
        }

        /** Nothing but the length counts. */
        boolean isByLength() {
            return patterns.isEmpty() && formats.isEmpty();
        }
    }

    StringLanguages(Budget budget) {
        this.budget = budget;
    }

    Shape shape(List<Located> schemas) {
        int min = 0;
        int max = Integer.MAX_VALUE;
        List<String> found = new ArrayList<>();
        List<String> formats = new ArrayList<>();
        for (Located schema : schemas) {
            min = Math.max(min, schema.count("minLength", 0));
            max = Math.min(max, schema.count("maxLength", Integer.MAX_VALUE));
            String pattern = schema.string("pattern");
            if (pattern != null && !found.contains(pattern)) {
                pattern(pattern, schema.place("pattern"));
                found.add(pattern);
            }
            String format = schema.string("format");
            if (format != null && !Formats.isAnnotation(format)) {
                if (Formats.of(format) == null) {
                    throw schema.unsupported(
                            "format", "'" + format + "' is not one that can be enforced: " + Formats.names() + ".");
                }
                formats.add(format);
            }
            if (min > LENGTH_MAX || max != Integer.MAX_VALUE && max > LENGTH_MAX) {
                String keyword = min > LENGTH_MAX ? "minLength" : "maxLength";
                throw new GrammarException(
                        GrammarException.Kind.TOO_LARGE,
                        schema.place(keyword),
                        "'%s' is above %,d, the most that can be counted.".formatted(keyword, LENGTH_MAX));
            }
        }
        return new Shape(min, max == Integer.MAX_VALUE ? -1 : max, List.copyOf(found), List.copyOf(formats));
    }

    /** The strings that one schema allows. */
    Automaton of(Located schema) {
        return of(shape(List.of(schema)));
    }

    Automaton of(Shape shape) {
        Automaton known = shapes.get(shape);
        if (known != null) {
            return known;
        }
        Automaton language = shape.max() >= 0 && shape.max() < shape.min()
                ? new Rx.Alt(List.of()).compile(budget)
                : new Rx.Repeat(Rx.ANY, shape.min(), shape.max()).compile(budget);
        for (String pattern : shape.patterns()) {
            language = language.and(pattern(pattern, ""), budget);
        }
        for (String format : shape.formats()) {
            Rx rx = Formats.of(format);
            if (rx != null) {
                language = language.and(rx.compile(budget), budget);
            }
        }
        shapes.put(shape, language);
        return language;
    }

    /** Strings with a match of an expression. */
    Automaton pattern(String regex, String place) {
        Automaton known = patterns.get(regex);
        if (known == null) {
            try {
                known = RegexParser.parse(regex).compileSearch(budget);
            } catch (GrammarException e) {
                throw e.at(place);
            }
            patterns.put(regex, known);
        }
        return known;
    }

    /** What a schema says of the value of a property. */
    List<Located> propertySchemas(Located schema, String name) {
        List<Located> schemas = new ArrayList<>();
        @Nullable Located own = schema.named("properties").get(name);
        if (own != null) {
            schemas.add(own);
        }
        schema.named("patternProperties").forEach((regex, value) -> {
            if (pattern(regex, value.pointer()).accepts(name)) {
                schemas.add(value);
            }
        });
        if (schemas.isEmpty()) {
            Located others = others(schema);
            if (others != null) {
                schemas.add(others);
            }
        }
        return schemas;
    }

    /** The schema of properties that are not named; null: none. */
    static @Nullable Located others(Located schema) {
        Located additional = schema.schema("additionalProperties");
        return additional != null ? additional : schema.schema("unevaluatedProperties");
    }
}
