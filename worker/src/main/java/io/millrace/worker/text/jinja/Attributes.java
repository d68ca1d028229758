package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Method;
import io.millrace.worker.text.jinja.Values.Namespace;
import io.millrace.worker.text.jinja.Values.Tuple;
import io.millrace.worker.text.jinja.Values.Undefined;
import io.millrace.worker.text.jinja.Values.View;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Attributes and items, as Jinja's immutable sandbox gives them: a dot tries the attribute first, brackets the item. */
final class Attributes {

    private static final Set<String> LIST_CHANGES =
            Set.of("append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove");
    private static final Set<String> DICT_CHANGES = Set.of("clear", "pop", "popitem", "setdefault", "update");

    private Attributes() {}

    /** {@code target.name}. */
    static Object attribute(Object target, String name) {
        Object own = own(target, name);
        if (own != null) {
            return own;
        }
        if (target instanceof Map<?, ?> map) {
            Object item = map.get(name);
            if (item != null) {
                return item;
            }
        }
        return missing(target, name);
    }

    /** {@code target[key]}. */
    static Object item(Object target, Object key) {
        Object item = itemOnly(target, key);
        if (item != null) {
            return item;
        }
        if (Py.isString(key)) {
            Object own = own(target, Py.string(key));
            if (own != null) {
                return own;
            }
        }
        return missing(target, Py.string(key));
    }

    /** What the filter {@code attr} gives: never an item. */
    static Object attributeOnly(Object target, String name) {
        Object own = own(target, name);
        return own == null ? missing(target, name) : own;
    }

    private static Object missing(Object target, String name) {
        return new Undefined("'" + Py.typeName(target) + " object' has no attribute '" + name + "'", false);
    }

    private static @Nullable Object itemOnly(Object target, Object key) {
        if (target instanceof Undefined undefined) {
            throw undefined.error();
        }
        if (target instanceof Map<?, ?> map) {
            return key instanceof List || key instanceof Map ? null : lookup(map, key);
        }
        if (!PyNumber.isInteger(key)) {
            return null;
        }
        long index = Py.toLong(key);
        return switch (target) {
            case List<?> list -> at(list, index);
            case Tuple tuple -> at(tuple.items(), index);
            case Values.Range range -> at(range.items(), index);
            case String text -> character(text, index);
            case Values.Markup markup -> character(markup.text(), index);
            default -> null;
        };
    }

    static @Nullable Object lookup(Map<?, ?> map, Object key) {
        Object value = map.get(Py.key(key));
        return value == null && key instanceof Double ? map.get(key) : value;
    }

    private static @Nullable Object at(List<?> list, long index) {
        long at = index < 0 ? index + list.size() : index;
        return at < 0 || at >= list.size() ? null : list.get((int) at);
    }

    private static @Nullable Object character(String text, long index) {
        int n = PyString.length(text);
        long at = index < 0 ? index + n : index;
        if (at < 0 || at >= n) {
            return null;
        }
        return Character.toString(text.codePointAt(text.offsetByCodePoints(0, (int) at)));
    }

    /** The object's own attribute; null where it has none of the name. */
    private static @Nullable Object own(Object target, String name) {
        if (target instanceof Undefined undefined) {
            throw undefined.error();
        }
        if (name.startsWith("__") && name.endsWith("__")) {
            return unsafe(target, name);
        }
        return switch (target) {
            case String text -> stringMethod(text, name);
            case Values.Markup markup -> stringMethod(markup.text(), name);
            case Map<?, ?> map -> DICT_CHANGES.contains(name) ? unsafe(target, name) : dictMethod(map, name);
            case List<?> list -> LIST_CHANGES.contains(name) ? unsafe(target, name) : listMethod(list, name);
            case Tuple tuple ->
                tuple.names().contains(name)
                        ? tuple.items().get(tuple.names().indexOf(name))
                        : listMethod(tuple.items(), name);
            case Namespace namespace -> namespace.attributes().get(name);
            case Values.HasAttributes object -> {
                Object value = object.attribute(name);
                yield value instanceof Undefined ? null : value;
            }
            case Double d when name.equals("is_integer") -> new Method(name, d, arguments -> d == Math.rint(d));
            default -> null;
        };
    }

    private static Object unsafe(Object target, String name) {
        return new Undefined(
                "access to attribute '" + name + "' of '" + Py.typeName(target) + "' object is unsafe.", true);
    }

    private static @Nullable Object stringMethod(String text, String name) {
        return StringMethods.exists(name)
                ? new Method(name, text, arguments -> StringMethods.call(text, name, arguments))
                : null;
    }

    private static @Nullable Object listMethod(List<?> list, String name) {
        return switch (name) {
            case "index" ->
                new Method(name, list, arguments -> {
                    Object wanted = arguments.required(0, "value");
                    for (int i = 0; i < list.size(); i++) {
                        if (Py.equal(list.get(i), wanted, arguments.budget())) {
                            return (long) i;
                        }
                    }
                    throw TemplateException.runtime(Py.repr(wanted) + " is not in list");
                });
            case "count" ->
                new Method(
                        name,
                        list,
                        arguments -> list.stream()
                                .filter(item -> Py.equal(item, arguments.required(0, "value"), arguments.budget()))
                                .count());
            case "copy" -> new Method(name, list, arguments -> new ArrayList<Object>(list));
            default -> null;
        };
    }

    private static @Nullable Object dictMethod(Map<?, ?> map, String name) {
        return switch (name) {
            case "keys" -> new Method(name, map, arguments -> new View("dict_keys", new ArrayList<>(map.keySet())));
            case "values" -> new Method(name, map, arguments -> new View("dict_values", new ArrayList<>(map.values())));
            case "items" -> new Method(name, map, arguments -> new View("dict_items", items(map)));
            case "copy" -> new Method(name, map, arguments -> new LinkedHashMap<Object, Object>(map));
            case "get" ->
                new Method(name, map, arguments -> {
                    Object value = lookup(map, arguments.required(0, "key"));
                    return value == null ? arguments.get(1, "default", Values.None.NONE) : value;
                });
            default -> null;
        };
    }

    static List<Object> items(Map<?, ?> map) {
        List<Object> items = new ArrayList<>(map.size());
        map.forEach((key, value) -> items.add(Tuple.of(key, value)));
        return items;
    }
}
