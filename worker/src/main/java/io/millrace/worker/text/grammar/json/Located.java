package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A schema and where it stands; equal to another of the same place.
 *
 * @param pointer JSON pointer from the root
 */
record Located(String pointer, JsonNode node) {

    private static final BigDecimal INT_MAX = BigDecimal.valueOf(Integer.MAX_VALUE);

    @Nullable
    JsonNode get(String keyword) {
        return node.get(keyword);
    }

    boolean has(String keyword) {
        return node.has(keyword);
    }

    /** The schema below a keyword; null: there is none. */
    @Nullable
    Located schema(String keyword) {
        JsonNode child = node.get(keyword);
        return child == null ? null : new Located(place(keyword), child);
    }

    /** The schemas of a keyword whose value is a list of them; empty when absent. */
    List<Located> schemas(String keyword) {
        JsonNode list = node.get(keyword);
        List<Located> schemas = new ArrayList<>();
        if (list == null) {
            return schemas;
        }
        if (!list.isArray()) {
            throw wrong(keyword, "a list of schemas");
        }
        for (int i = 0; i < list.size(); i++) {
            schemas.add(new Located(place(keyword) + "/" + i, list.get(i)));
        }
        return schemas;
    }

    /** The schemas of a keyword whose value is an object of them, in its order; empty when absent. */
    Map<String, Located> named(String keyword) {
        JsonNode object = node.get(keyword);
        Map<String, Located> schemas = new LinkedHashMap<>();
        if (object == null) {
            return schemas;
        }
        if (!object.isObject()) {
            throw wrong(keyword, "an object of schemas");
        }
        object.properties()
                .forEach(e ->
                        schemas.put(e.getKey(), new Located(place(keyword) + "/" + escape(e.getKey()), e.getValue())));
        return schemas;
    }

    /** A count; {@code otherwise} when absent. Beyond the range of int it is its largest. */
    int count(String keyword, int otherwise) {
        JsonNode value = node.get(keyword);
        if (value == null) {
            return otherwise;
        }
        BigDecimal number = number(keyword);
        if (number == null || number.signum() < 0 || number.stripTrailingZeros().scale() > 0) {
            throw wrong(keyword, "a non-negative integer");
        }
        return number.min(INT_MAX).intValue();
    }

    @Nullable
    BigDecimal number(String keyword) {
        JsonNode value = node.get(keyword);
        if (value == null) {
            return null;
        }
        if (!value.isNumber()) {
            throw wrong(keyword, "a number");
        }
        return value.decimalValue();
    }

    @Nullable
    String string(String keyword) {
        JsonNode value = node.get(keyword);
        if (value == null) {
            return null;
        }
        if (!value.isString()) {
            throw wrong(keyword, "a string");
        }
        return value.stringValue();
    }

    List<String> strings(String keyword) {
        JsonNode list = node.get(keyword);
        List<String> strings = new ArrayList<>();
        if (list == null) {
            return strings;
        }
        if (!list.isArray()) {
            throw wrong(keyword, "a list of strings");
        }
        for (JsonNode each : list) {
            if (!each.isString()) {
                throw wrong(keyword, "a list of strings");
            }
            strings.add(each.stringValue());
        }
        return strings;
    }

    String place(String keyword) {
        return pointer + "/" + escape(keyword);
    }

    private static String escape(String name) {
        return name.replace("~", "~0").replace("/", "~1");
    }

    GrammarException wrong(String keyword, String wanted) {
        return new GrammarException(Kind.INVALID, place(keyword), "'" + keyword + "' must be " + wanted + ".");
    }

    GrammarException unsupported(String keyword, String why) {
        return new GrammarException(Kind.UNSUPPORTED, place(keyword), "'" + keyword + "' " + why);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Located l && pointer.equals(l.pointer);
    }

    @Override
    public int hashCode() {
        return pointer.hashCode();
    }
}
