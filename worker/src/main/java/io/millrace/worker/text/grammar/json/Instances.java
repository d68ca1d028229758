package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Budget;
import java.math.BigDecimal;
import java.util.HashSet;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.StringNode;

/** Whether a value satisfies a schema: for the values that {@code enum} and {@code const} name. Not thread-safe. */
final class Instances {

    private static final int DEPTH_MAX = 200;

    private final SchemaDocument document;
    private final StringLanguages strings;
    private final Budget budget;
    private int depth;

    Instances(SchemaDocument document, StringLanguages strings, Budget budget) {
        this.document = document;
        this.strings = strings;
        this.budget = budget;
    }

    /** By everything the schema says, references included. */
    boolean valid(JsonNode value, Located schema) {
        if (schema.node().isBoolean()) {
            return schema.node().booleanValue();
        }
        if (!schema.node().isObject()) {
            throw schema.wrong("", "a schema (an object, true or false)");
        }
        if (++depth > DEPTH_MAX) {
            throw schema.unsupported("$ref", "goes round in circles.");
        }
        boolean valid = (!schema.has("$ref") || valid(value, document.resolve(schema)))
                && schema.schemas("allOf").stream().allMatch(s -> valid(value, s))
                && (!schema.has("anyOf") || schema.schemas("anyOf").stream().anyMatch(s -> valid(value, s)))
                && (!schema.has("oneOf")
                        || schema.schemas("oneOf").stream()
                                        .filter(s -> valid(value, s))
                                        .count()
                                == 1)
                && holds(value, schema);
        depth--;
        return valid;
    }

    /** By what the schema says itself, without what it refers to or combines. */
    boolean holds(JsonNode value, Located schema) {
        return (!schema.has("const") || equal(value, schema.node().get("const")))
                && (!schema.has("enum") || among(value, schema.node().get("enum")))
                && holdsOtherwise(value, schema);
    }

    /** As {@link #holds}, but for {@code enum} and {@code const}. */
    boolean holdsOtherwise(JsonNode value, Located schema) {
        budget.spend(10);
        Located not = schema.schema("not");
        return (!schema.has("type") || Flat.declared(schema).contains(typeOf(value)))
                && (not == null || !valid(value, not))
                && condition(value, schema)
                && switch (typeOf(value)) {
                    case STRING -> strings.of(schema).accepts(value.stringValue());
                    case NUMBER, INTEGER -> number(value.decimalValue(), schema);
                    case ARRAY -> array(value, schema);
                    case OBJECT -> object(value, schema);
                    default -> true;
                };
    }

    private boolean condition(JsonNode value, Located schema) {
        Located when = schema.schema("if");
        if (when == null) {
            return true;
        }
        Located then = schema.schema(valid(value, when) ? "then" : "else");
        return then == null || valid(value, then);
    }

    static Flat.Type typeOf(JsonNode value) {
        return switch (value.getNodeType()) {
            case STRING -> Flat.Type.STRING;
            case BOOLEAN -> Flat.Type.BOOLEAN;
            case ARRAY -> Flat.Type.ARRAY;
            case OBJECT -> Flat.Type.OBJECT;
            case NUMBER ->
                value.decimalValue().stripTrailingZeros().scale() <= 0 ? Flat.Type.INTEGER : Flat.Type.NUMBER;
            default -> Flat.Type.NULL;
        };
    }

    private static boolean number(BigDecimal value, Located schema) {
        BigDecimal min = schema.number("minimum");
        BigDecimal max = schema.number("maximum");
        BigDecimal above = schema.number("exclusiveMinimum");
        BigDecimal below = schema.number("exclusiveMaximum");
        BigDecimal step = schema.number("multipleOf");
        return (min == null || value.compareTo(min) >= 0)
                && (max == null || value.compareTo(max) <= 0)
                && (above == null || value.compareTo(above) > 0)
                && (below == null || value.compareTo(below) < 0)
                && (step == null || step.signum() > 0 && value.remainder(step).signum() == 0);
    }

    private boolean array(JsonNode value, Located schema) {
        if (value.size() < schema.count("minItems", 0) || value.size() > schema.count("maxItems", Integer.MAX_VALUE)) {
            return false;
        }
        for (int i = 0; i < value.size(); i++) {
            Located item = ArrayShape.item(schema, i);
            if (item != null && !valid(value.get(i), item)) {
                return false;
            }
        }
        if (schema.node().path("uniqueItems").asBoolean(false) && !unique(value)) {
            return false;
        }
        Located contains = schema.schema("contains");
        if (contains == null) {
            return true;
        }
        int matches = 0;
        for (JsonNode each : value) {
            matches += valid(each, contains) ? 1 : 0;
        }
        return matches >= schema.count("minContains", 1) && matches <= schema.count("maxContains", Integer.MAX_VALUE);
    }

    private static boolean unique(JsonNode array) {
        for (int i = 0; i < array.size(); i++) {
            for (int j = 0; j < i; j++) {
                if (equal(array.get(i), array.get(j))) {
                    return false;
                }
            }
        }
        return true;
    }

    private boolean object(JsonNode value, Located schema) {
        if (value.size() < schema.count("minProperties", 0)
                || value.size() > schema.count("maxProperties", Integer.MAX_VALUE)
                || !schema.strings("required").stream().allMatch(value::has)) {
            return false;
        }
        Located names = schema.schema("propertyNames");
        for (var property : value.properties()) {
            var name = StringNode.valueOf(property.getKey());
            if (names != null && !valid(name, names)) {
                return false;
            }
            for (Located each : strings.propertySchemas(schema, property.getKey())) {
                if (!valid(property.getValue(), each)) {
                    return false;
                }
            }
        }
        return dependents(value, schema);
    }

    private boolean dependents(JsonNode value, Located schema) {
        JsonNode required = schema.get("dependentRequired");
        if (required != null) {
            for (var each : required.properties()) {
                if (value.has(each.getKey())) {
                    for (JsonNode name : each.getValue()) {
                        if (!value.has(name.asString(""))) {
                            return false;
                        }
                    }
                }
            }
        }
        return schema.named("dependentSchemas").entrySet().stream()
                .allMatch(e -> !value.has(e.getKey()) || valid(value, e.getValue()));
    }

    private boolean among(JsonNode value, JsonNode list) {
        for (JsonNode each : list) {
            budget.spend(1);
            if (equal(value, each)) {
                return true;
            }
        }
        return false;
    }

    /** As JSON Schema compares: numbers by value, objects without order. */
    static boolean equal(JsonNode a, JsonNode b) {
        if (a.isNumber() && b.isNumber()) {
            return a.decimalValue().compareTo(b.decimalValue()) == 0;
        }
        if (a.isArray() && b.isArray()) {
            boolean same = a.size() == b.size();
            for (int i = 0; same && i < a.size(); i++) {
                same = equal(a.get(i), b.get(i));
            }
            return same;
        }
        if (a.isObject() && b.isObject()) {
            Set<String> names = new HashSet<>(a.propertyNames());
            return names.equals(new HashSet<>(b.propertyNames()))
                    && names.stream().allMatch(n -> equal(a.get(n), b.get(n)));
        }
        return a.equals(b);
    }
}
