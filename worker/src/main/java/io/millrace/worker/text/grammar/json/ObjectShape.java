package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;

/**
 * What schemas together say of an object.
 *
 * @param named properties in the order of the output, with the schemas of their values
 * @param required those of them that must be there
 * @param others further properties: which names, with the schemas of their values; the names are disjoint
 * @param max Integer.MAX_VALUE: no bound
 */
record ObjectShape(Map<String, List<Located>> named, Set<String> required, List<Others> others, int min, int max) {

    private static final int PATTERNS_MAX = 6;
    private static final int NAMED_MAX = 2_000;
    private static final List<String> IN_PLACE = List.of("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas");
    private static final List<String> DEPENDENT = List.of("dependentRequired", "dependentSchemas", "dependencies");

    private static final Located NEVER = new Located("(never)", JsonNodeFactory.instance.booleanNode(false));

    /** @param names of the properties whose values satisfy the schemas */
    record Others(Automaton names, List<Located> schemas) {}

    static ObjectShape of(Flat flat, StringLanguages strings, Automaton names, Budget budget) {
        Set<String> keys = new LinkedHashSet<>();
        Set<String> required = new LinkedHashSet<>();
        int min = 0;
        int max = Integer.MAX_VALUE;
        for (Located schema : flat.schemas()) {
            refuse(schema);
            keys.addAll(schema.named("properties").keySet());
            required.addAll(schema.strings("required"));
            min = Math.max(min, schema.count("minProperties", 0));
            max = Math.min(max, schema.count("maxProperties", Integer.MAX_VALUE));
        }
        keys.addAll(required);
        if (keys.size() > NAMED_MAX) {
            throw flat.schemas().getFirst().unsupported("properties", "has more than %,d names.".formatted(NAMED_MAX));
        }
        Map<String, List<Located>> named = new LinkedHashMap<>();
        for (String key : keys) {
            List<Located> schemas = new ArrayList<>();
            flat.schemas().forEach(schema -> schemas.addAll(strings.propertySchemas(schema, key)));
            if (names.accepts(key)) {
                named.put(key, schemas);
            } else if (required.contains(key)) {
                named.put(key, List.of(NEVER));
            }
        }
        List<Others> others = new ArrayList<>();
        if (max > 0) {
            Automaton unnamed =
                    names.minus(new Rx.Alt(keys.stream().map(Rx::literal).toList()).compile(budget), budget);
            others(flat, strings, unnamed, budget, others);
        }
        return new ObjectShape(named, required, others, min, max);
    }

    /** Names by the set of patterns that match them: each has schemas of its own. */
    private static void others(
            Flat flat, StringLanguages strings, Automaton unnamed, Budget budget, List<Others> others) {
        Set<String> patterns = new LinkedHashSet<>();
        for (Located schema : flat.schemas()) {
            patterns.addAll(schema.named("patternProperties").keySet());
            if (patterns.size() > PATTERNS_MAX) {
                throw schema.unsupported("patternProperties", "has more than " + PATTERNS_MAX + " patterns in all.");
            }
        }
        List<String> list = List.copyOf(patterns);
        for (int chosen = 0; chosen < 1 << list.size(); chosen++) {
            Automaton names = unnamed;
            Set<String> matching = new LinkedHashSet<>();
            for (int i = 0; i < list.size(); i++) {
                boolean in = (chosen >> i & 1) == 1;
                Automaton pattern = strings.pattern(list.get(i), "");
                names = in ? names.and(pattern, budget) : names.minus(pattern, budget);
                if (in) {
                    matching.add(list.get(i));
                }
            }
            if (!names.isEmpty()) {
                others.add(new Others(names, schemas(flat, matching)));
            }
        }
    }

    private static List<Located> schemas(Flat flat, Set<String> matching) {
        List<Located> schemas = new ArrayList<>();
        for (Located schema : flat.schemas()) {
            int before = schemas.size();
            schema.named("patternProperties").forEach((pattern, value) -> {
                if (matching.contains(pattern)) {
                    schemas.add(value);
                }
            });
            Located rest = StringLanguages.others(schema);
            if (schemas.size() == before && rest != null) {
                schemas.add(rest);
            }
        }
        return schemas;
    }

    private static void refuse(Located schema) {
        for (String keyword : DEPENDENT) {
            if (schema.has(keyword)) {
                throw schema.unsupported(keyword, "cannot be enforced.");
            }
        }
        JsonNode rest = schema.get("unevaluatedProperties");
        if (rest != null
                && !(rest.isBoolean() && rest.booleanValue())
                && IN_PLACE.stream().anyMatch(schema::has)) {
            throw schema.unsupported(
                    "unevaluatedProperties", "cannot be enforced beside " + String.join(", ", IN_PLACE) + ".");
        }
    }

    /** Throws when duplicate names could make an object smaller than it looks. */
    void checkMinimum(Flat flat) {
        boolean open = !others.isEmpty();
        if (open && min > 1 && min > required.size()) {
            Located schema = flat.schemas().stream()
                    .filter(s -> s.has("minProperties"))
                    .findFirst()
                    .orElseThrow();
            throw schema.unsupported(
                    "minProperties",
                    "above 1 cannot be enforced where properties without a name of their own are allowed.");
        }
    }
}
