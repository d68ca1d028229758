package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Typed access to a JSON object's fields: a wrong type or value is a 400 that names the field, what was wanted and what came.
 * {@code null} counts as absent.
 */
final class Fields {

    private static final int SHOWN_MAX = 60;

    private final JsonNode object;
    private final String path;
    private final @Nullable Set<String> read;

    Fields(JsonNode object, String path) {
        this(object, path, null);
    }

    private Fields(JsonNode object, String path, @Nullable Set<String> read) {
        this.object = object;
        this.path = path;
        this.read = read;
    }

    /** A body that keeps account of what was read of it, for {@link #unread}. */
    static Fields counted(JsonNode object) {
        return new Fields(object, "", new HashSet<>());
    }

    /** Names of the fields that nobody has asked for, in their order; those without a value are left out. */
    List<String> unread() {
        Set<String> known = read == null ? Set.of() : read;
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, JsonNode> each : object.properties()) {
            if (!known.contains(each.getKey()) && !each.getValue().isNull()) {
                names.add(each.getKey());
            }
        }
        return names;
    }

    /** Path of a field from the body's root. */
    String path(String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    /** The value; null when absent. */
    @Nullable
    JsonNode get(String name) {
        if (read != null) {
            read.add(name);
        }
        JsonNode node = object.get(name);
        return node == null || node.isNull() ? null : node;
    }

    boolean has(String name) {
        return get(name) != null;
    }

    @Nullable
    String string(String name) {
        JsonNode node = get(name);
        if (node != null && !node.isString()) {
            throw wrong(name, "a string", node);
        }
        return node == null ? null : node.stringValue();
    }

    boolean bool(String name, boolean otherwise) {
        JsonNode node = get(name);
        if (node != null && !node.isBoolean()) {
            throw wrong(name, "true or false", node);
        }
        return node == null ? otherwise : node.booleanValue();
    }

    OptionalInt integer(String name, int min, int max) {
        OptionalLong value = integer64(name, min, max);
        return value.isPresent() ? OptionalInt.of((int) value.getAsLong()) : OptionalInt.empty();
    }

    OptionalLong integer64(String name, long min, long max) {
        JsonNode node = get(name);
        if (node == null) {
            return OptionalLong.empty();
        }
        boolean fits = node.isNumber() && node.canConvertToExactIntegral() && node.canConvertToLong();
        if (!fits || node.asLong() < min || node.asLong() > max) {
            throw wrong(name, "an integer from " + min + " to " + max, node);
        }
        return OptionalLong.of(node.asLong());
    }

    /** A finite number in [min, max]. */
    OptionalDouble number(String name, double min, double max) {
        JsonNode node = get(name);
        if (node == null) {
            return OptionalDouble.empty();
        }
        double value = node.isNumber() ? node.numberValue().doubleValue() : Double.NaN;
        if (!(value >= min && value <= max)) {
            throw wrong(name, "a number from " + number(min) + " to " + number(max), node);
        }
        return OptionalDouble.of(value);
    }

    /** A string or a list of strings; empty when absent. */
    List<String> strings(String name, int countMax) {
        JsonNode node = get(name);
        List<String> values = new ArrayList<>();
        if (node == null) {
            return values;
        }
        if (node.isString()) {
            values.add(node.stringValue());
        } else if (node.isArray()) {
            for (int i = 0; i < node.size(); i++) {
                if (!node.get(i).isString()) {
                    throw wrong(name + "[" + i + "]", "a string", node.get(i));
                }
                values.add(node.get(i).stringValue());
            }
        } else {
            throw wrong(name, "a string or a list of strings", node);
        }
        if (values.size() > countMax) {
            throw invalid(
                    name,
                    "'%s' has %,d entries; at most %,d are taken.".formatted(path(name), values.size(), countMax));
        }
        return values;
    }

    /** The fields of an object; null when absent. */
    @Nullable
    Fields object(String name) {
        JsonNode node = get(name);
        if (node != null && !node.isObject()) {
            throw wrong(name, "an object", node);
        }
        return node == null ? null : new Fields(node, path(name));
    }

    /** A list of token ids; null when absent. */
    @Nullable
    List<Integer> ids(String name) {
        JsonNode node = get(name);
        return node == null ? null : ids(name, node);
    }

    List<Integer> ids(String name, JsonNode node) {
        if (!node.isArray()) {
            throw wrong(name, "a list of token ids", node);
        }
        List<Integer> ids = new ArrayList<>(node.size());
        for (int i = 0; i < node.size(); i++) {
            JsonNode each = node.get(i);
            if (!each.isIntegralNumber() || !each.canConvertToInt() || each.intValue() < 0) {
                throw wrong(name + "[" + i + "]", "a token id (an integer from 0)", each);
            }
            ids.add(each.intValue());
        }
        return ids;
    }

    ApiException wrong(String name, String wanted, JsonNode came) {
        return invalid(name, "'" + path(name) + "' must be " + wanted + ", not " + shown(came) + ".");
    }

    ApiException invalid(String name, String message) {
        return new ApiException(ApiError.invalid(path(name), message));
    }

    /** 400 for what this server cannot do (yet), rather than doing something else. */
    ApiException unsupported(String name, String message) {
        return new ApiException(ApiError.of(400, "unsupported_parameter", path(name), message));
    }

    ApiException missing(String name) {
        return new ApiException(
                ApiError.of(400, "missing_required_parameter", path(name), "'" + path(name) + "' is missing."));
    }

    static String shown(JsonNode node) {
        if (node.isObject()) {
            return "an object";
        }
        if (node.isArray()) {
            return "a list";
        }
        String text = node.toString();
        return text.length() > SHOWN_MAX ? text.substring(0, SHOWN_MAX) + "…" : text;
    }

    private static String number(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e15
                ? Long.toString((long) value)
                : Double.toString(value);
    }
}
