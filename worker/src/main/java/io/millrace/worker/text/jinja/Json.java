package io.millrace.worker.text.jinja;

import io.millrace.worker.text.Utf16;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Tuple;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** JSON to values, and values to JSON as Python's {@code json.dumps} writes it. */
final class Json {

    private final StringBuilder out = new StringBuilder();
    private final Budget budget;
    private final boolean ascii;
    private final @Nullable String indent;
    private final String itemSeparator;
    private final String keySeparator;
    private final boolean sortKeys;

    private Json(CallArguments a) {
        budget = a.budget();
        ascii = a.truth(0, "ensure_ascii", false);
        Object width = a.get(1, "indent", None.NONE);
        indent = width == None.NONE
                ? null
                : Py.isString(width) ? Py.string(width) : " ".repeat((int) Math.clamp(Py.toLong(width), 0, 1_000));
        Object separators = a.get(2, "separators", None.NONE);
        List<Object> pair =
                separators == None.NONE ? List.of(indent == null ? ", " : ",", ": ") : Py.iterate(separators);
        if (pair.size() != 2) {
            throw TemplateException.runtime("separators must be two strings");
        }
        itemSeparator = Py.string(pair.get(0));
        keySeparator = Py.string(pair.get(1));
        sortKeys = a.truth(3, "sort_keys", false);
    }

    /** The filter {@code tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)}. */
    static String write(Object value, CallArguments a) {
        Json json = new Json(a);
        json.value(value, 0);
        return json.out.toString();
    }

    private void value(Object value, int depth) {
        budget.step();
        int before = out.length();
        switch (value) {
            case None n -> out.append("null");
            case Boolean b -> out.append(b ? "true" : "false");
            case Double d ->
                out.append(d.isNaN() ? "NaN" : d.isInfinite() ? (d > 0 ? "Infinity" : "-Infinity") : PyNumber.repr(d));
            case Map<?, ?> map -> object(map, depth);
            case List<?> list -> array(list, depth);
            case Tuple tuple -> array(tuple.items(), depth);
            default -> {
                if (PyNumber.isInteger(value)) {
                    out.append(value);
                } else if (Py.isString(value)) {
                    string(Py.string(value));
                } else {
                    throw TemplateException.runtime(
                            "Object of type " + Py.typeName(value) + " is not JSON serializable");
                }
                budget.length(out.length());
                budget.allocate(out.length() - before);
            }
        }
    }

    private void array(List<?> items, int depth) {
        if (items.isEmpty()) {
            out.append("[]");
            return;
        }
        out.append('[');
        boolean first = true;
        for (Object item : items) {
            separate(first, depth + 1);
            value(item, depth + 1);
            first = false;
        }
        line(depth);
        out.append(']');
    }

    private void object(Map<?, ?> map, int depth) {
        if (map.isEmpty()) {
            out.append("{}");
            return;
        }
        List<Map.Entry<?, ?>> entries = new ArrayList<>(map.entrySet());
        if (sortKeys) {
            entries.sort((x, y) -> Py.compare(x.getKey(), y.getKey(), "<", budget));
        }
        out.append('{');
        boolean first = true;
        for (Map.Entry<?, ?> entry : entries) {
            separate(first, depth + 1);
            key(entry.getKey());
            out.append(keySeparator);
            value(entry.getValue(), depth + 1);
            first = false;
        }
        line(depth);
        out.append('}');
    }

    private void key(Object key) {
        switch (key) {
            case String s -> string(s);
            case None n -> out.append("\"null\"");
            case Boolean b -> out.append(b ? "\"true\"" : "\"false\"");
            default -> {
                if (!PyNumber.isNumber(key)) {
                    throw TemplateException.runtime(
                            "keys must be str, int, float, bool or None, not " + Py.typeName(key));
                }
                out.append('"').append(Py.string(key)).append('"');
            }
        }
    }

    private void separate(boolean first, int depth) {
        if (!first) {
            out.append(itemSeparator);
        }
        line(depth);
    }

    private void line(int depth) {
        if (indent != null) {
            budget.allocate(1 + (long) indent.length() * depth);
            out.append('\n').append(indent.repeat(depth));
        }
    }

    private void string(String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                default -> {
                    if (c < 0x20 || (ascii && c > 0x7E)) {
                        out.append("\\u%04x".formatted((int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }

    /** Order of keys, size of integers and the difference between 1 and 1.0 are kept; a lone surrogate becomes U+FFFD. */
    static Object read(JsonNode node) {
        return switch (node.getNodeType()) {
            case OBJECT -> {
                Map<Object, Object> map = new LinkedHashMap<>();
                node.properties().forEach(entry -> map.put(Utf16.wellFormed(entry.getKey()), read(entry.getValue())));
                yield map;
            }
            case ARRAY -> {
                List<Object> list = new ArrayList<>(node.size());
                node.forEach(item -> list.add(read(item)));
                yield list;
            }
            case STRING -> Utf16.wellFormed(node.stringValue());
            case BOOLEAN -> node.booleanValue();
            case NUMBER ->
                node.isIntegralNumber() ? PyNumber.normal(node.bigIntegerValue()) : (Object) node.doubleValue();
            default -> None.NONE;
        };
    }
}
