package io.millrace.worker.text.grammar.json;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * What schemas together say of an array.
 *
 * @param prefix schemas of the first items
 * @param rest schemas of all others
 * @param max Integer.MAX_VALUE: no bound
 */
record ArrayShape(List<List<Located>> prefix, List<Located> rest, int min, int max) {

    static ArrayShape of(Flat flat) {
        int positions = 0;
        int min = 0;
        int max = Integer.MAX_VALUE;
        for (Located schema : flat.schemas()) {
            refuse(schema);
            positions = Math.max(positions, prefix(schema).size());
            min = Math.max(min, schema.count("minItems", 0));
            max = Math.min(max, schema.count("maxItems", Integer.MAX_VALUE));
        }
        List<List<Located>> prefix = new ArrayList<>();
        for (int i = 0; i < positions; i++) {
            prefix.add(items(flat, i));
        }
        return new ArrayShape(prefix, items(flat, Integer.MAX_VALUE), min, max);
    }

    private static List<Located> items(Flat flat, int position) {
        List<Located> items = new ArrayList<>();
        for (Located schema : flat.schemas()) {
            Located item = item(schema, position);
            if (item != null) {
                items.add(item);
            }
        }
        return items;
    }

    /** The schema of the item at a position; null: none. */
    static @Nullable Located item(Located schema, int position) {
        List<Located> prefix = prefix(schema);
        if (position < prefix.size()) {
            return prefix.get(position);
        }
        JsonNode items = schema.get("items");
        return items != null && items.isArray() ? schema.schema("additionalItems") : schema.schema("items");
    }

    /** {@code prefixItems}, or a list of {@code items} as until draft 7. */
    private static List<Located> prefix(Located schema) {
        JsonNode items = schema.get("items");
        return items != null && items.isArray() ? schema.schemas("items") : schema.schemas("prefixItems");
    }

    private static void refuse(Located schema) {
        JsonNode unique = schema.get("uniqueItems");
        if (unique != null && !unique.isBoolean()) {
            throw schema.wrong("uniqueItems", "true or false");
        }
        if (unique != null && unique.booleanValue() && schema.count("maxItems", Integer.MAX_VALUE) > 1) {
            throw schema.unsupported("uniqueItems", "cannot be enforced on arrays of more than 1 item.");
        }
        if (schema.has("contains")) {
            throw schema.unsupported("contains", "cannot be enforced.");
        }
        JsonNode rest = schema.get("unevaluatedItems");
        if (rest != null && !(rest.isBoolean() && rest.booleanValue())) {
            throw schema.unsupported("unevaluatedItems", "cannot be enforced; use 'items'.");
        }
    }
}
