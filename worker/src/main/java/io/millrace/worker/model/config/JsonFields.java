package io.millrace.worker.model.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Typed, checked access to the keys of a {@code config.json}; a key that is missing has the family's default, if there is one. */
final class JsonFields {

    private final ConfigErrors errors;
    private final JsonNode root;
    private final Map<String, Double> defaults;

    private JsonFields(ConfigErrors errors, JsonNode root, Map<String, Double> defaults) {
        this.errors = errors;
        this.root = root;
        this.defaults = defaults;
    }

    static JsonFields parse(ConfigErrors errors, String json) {
        JsonNode root;
        try {
            root = JsonMapper.shared().readTree(json);
        } catch (JacksonException e) {
            throw errors.wrong("the file", "is not valid JSON (" + e.getOriginalMessage() + ")");
        }
        if (!root.isObject()) {
            throw errors.wrong("the file", "is not a JSON object");
        }
        return new JsonFields(errors, root, Map.of());
    }

    /** The same keys, with other defaults. */
    JsonFields withDefaults(Map<String, Double> values) {
        return new JsonFields(errors, root, values);
    }

    /** The object under a key. */
    JsonFields object(String key) {
        return new JsonFields(errors, root.path(key), defaults);
    }

    ConfigErrors errors() {
        return errors;
    }

    JsonNode node(String key) {
        return root.path(key);
    }

    /** Whether the key is there and not null; defaults do not count. */
    boolean has(String key) {
        return root.hasNonNull(key);
    }

    boolean isObject(String key) {
        return root.path(key).isObject();
    }

    String string(String key, String otherwise) {
        JsonNode node = root.path(key);
        return node.isString() ? node.stringValue() : otherwise;
    }

    boolean flag(String key, boolean otherwise) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return otherwise;
        }
        if (!node.isBoolean()) {
            throw errors.wrong(key, "is " + shown(node) + " where true or false is needed");
        }
        return node.booleanValue();
    }

    int size(String key, int max) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            Double value = defaults.get(key);
            if (value == null) {
                throw errors.wrong(key, "is missing");
            }
            return value.intValue();
        }
        if (!node.isIntegralNumber() || !node.canConvertToLong()) {
            throw errors.wrong(key, "is " + shown(node) + " where a whole number is needed");
        }
        return errors.size(key, node.longValue(), max);
    }

    int size(String key, int max, int otherwise) {
        return has(key) || defaults.containsKey(key) ? size(key, max) : otherwise;
    }

    /** As {@link #size}, but 0 is possible, and what a missing key means. */
    int count(String key, int max) {
        return root.path(key).isIntegralNumber() && root.path(key).longValue() == 0 ? 0 : size(key, max, 0);
    }

    double number(String key, double otherwise) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return defaults.getOrDefault(key, otherwise);
        }
        if (!node.isNumber()) {
            throw errors.wrong(key, "is " + shown(node) + " where a number is needed");
        }
        return node.doubleValue();
    }

    double positive(String key, double otherwise) {
        return errors.positive(key, number(key, otherwise));
    }

    /** A number that may be null in the file: 0 then, and {@code otherwise} when the key is missing. */
    double cap(String key, double otherwise) {
        return root.path(key).isNull() ? 0 : number(key, otherwise);
    }

    List<Double> numbers(String key) {
        List<Double> values = new ArrayList<>();
        for (JsonNode node : root.path(key)) {
            if (!node.isNumber()) {
                throw errors.wrong(key, "holds " + shown(node) + " where numbers are needed");
            }
            values.add(errors.positive(key, node.doubleValue()));
        }
        return values;
    }

    static String shown(JsonNode node) {
        String text = node.toString();
        return text.length() > 60 ? text.substring(0, 60) + "…" : text;
    }
}
