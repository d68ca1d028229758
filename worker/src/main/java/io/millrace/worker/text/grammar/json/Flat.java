package io.millrace.worker.text.grammar.json;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Schemas that hold together, with everything that applies in place ({@code $ref}, {@code allOf}, a choice of each {@code anyOf})
 * already among them: of each, only the keywords that say something themselves count.
 */
record Flat(List<Located> schemas) {

    /** Types of JSON values; a number that is an integer is of both kinds. */
    enum Type {
        NULL,
        BOOLEAN,
        INTEGER,
        NUMBER,
        STRING,
        ARRAY,
        OBJECT
    }

    /** Types that are allowed; NUMBER includes INTEGER and then stands alone. */
    Set<Type> types() {
        Set<Type> types = EnumSet.allOf(Type.class);
        for (Located schema : schemas) {
            if (schema.has("type")) {
                types.retainAll(declared(schema));
            }
            Located not = schema.schema("not");
            if (not != null) {
                types.removeAll(excluded(schema, not));
            }
        }
        if (types.contains(Type.NUMBER)) {
            types.remove(Type.INTEGER);
        }
        return types;
    }

    /** Those that {@code type} names. */
    static Set<Type> declared(Located schema) {
        JsonNode type = schema.get("type");
        Set<Type> types = EnumSet.noneOf(Type.class);
        if (type != null && type.isString()) {
            types.add(type(schema, type.stringValue()));
        } else {
            for (String name : schema.strings("type")) {
                types.add(type(schema, name));
            }
        }
        if (types.contains(Type.NUMBER)) {
            types.add(Type.INTEGER);
        }
        return types;
    }

    private static Type type(Located schema, String name) {
        for (Type type : Type.values()) {
            if (type.name().toLowerCase(Locale.ROOT).equals(name)) {
                return type;
            }
        }
        throw schema.wrong(
                "type",
                "null, boolean, integer, number, string, array or object, or a list of these, not '" + name + "'");
    }

    /** What {@code not} takes away, where that is types and nothing else. */
    private static Set<Type> excluded(Located schema, Located not) {
        JsonNode node = not.node();
        if (node.isBoolean()) {
            return node.booleanValue() ? EnumSet.allOf(Type.class) : EnumSet.noneOf(Type.class);
        }
        if (node.isObject() && node.isEmpty()) {
            return EnumSet.allOf(Type.class);
        }
        Set<Type> types = node.isObject() && node.size() == 1 && node.has("type") ? declared(not) : Set.of();
        if (types.isEmpty() || types.contains(Type.INTEGER) && !types.contains(Type.NUMBER)) {
            throw schema.unsupported(
                    "not", "is supported only for types ({\"not\": {\"type\": …}}), other than integer.");
        }
        return types;
    }

    /** Whether only some values are allowed, by {@code enum} or {@code const}. */
    boolean isLiteral() {
        return schemas.stream().anyMatch(s -> s.has("enum") || s.has("const"));
    }

    /** Those values, as far as everything else allows them. */
    List<JsonNode> literals(Instances instances) {
        Located first = schemas.stream()
                .filter(s -> s.has("enum") || s.has("const"))
                .findFirst()
                .orElseThrow();
        List<JsonNode> values = new ArrayList<>();
        for (JsonNode value : candidates(first)) {
            boolean ownList = !first.has("const") || !first.has("enum");
            if (schemas.stream()
                    .allMatch(s ->
                            s == first && ownList ? instances.holdsOtherwise(value, s) : instances.holds(value, s))) {
                values.add(value);
            }
        }
        return values;
    }

    private static List<JsonNode> candidates(Located schema) {
        @Nullable JsonNode constant = schema.get("const");
        if (constant != null) {
            return List.of(constant);
        }
        JsonNode list = schema.get("enum");
        if (list == null || !list.isArray()) {
            throw schema.wrong("enum", "a list of values");
        }
        List<JsonNode> values = new ArrayList<>();
        list.forEach(values::add);
        return values;
    }
}
