package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Function;
import io.millrace.worker.text.jinja.Values.Generator;
import io.millrace.worker.text.jinja.Values.Markup;
import io.millrace.worker.text.jinja.Values.Namespace;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Range;
import io.millrace.worker.text.jinja.Values.Tuple;
import io.millrace.worker.text.jinja.Values.Undefined;
import io.millrace.worker.text.jinja.Values.View;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What Python does with any value: truth, text, equality, order, iteration. */
final class Py {

    private static final int REPR_MAX = 16 << 20;

    private Py() {}

    static boolean truth(Object value) {
        return switch (value) {
            case Boolean b -> b;
            case None n -> false;
            case Undefined u -> false;
            case Long l -> l != 0;
            case BigInteger i -> i.signum() != 0;
            case Double d -> d != 0;
            case String s -> !s.isEmpty();
            case Markup m -> !m.text().isEmpty();
            case List<?> l -> !l.isEmpty();
            case Map<?, ?> m -> !m.isEmpty();
            case Tuple t -> !t.items().isEmpty();
            case View v -> !v.items().isEmpty();
            case Range r -> r.length() > 0;
            default -> true;
        };
    }

    static String typeName(Object value) {
        return switch (value) {
            case Boolean b -> "bool";
            case None n -> "NoneType";
            case Undefined u -> "Undefined";
            case Long l -> "int";
            case BigInteger i -> "int";
            case Double d -> "float";
            case String s -> "str";
            case Markup m -> "Markup";
            case List<?> l -> "list";
            case Map<?, ?> m -> "dict";
            case Tuple t -> "tuple";
            case View v -> v.name();
            case Range r -> "range";
            case Generator g -> "generator";
            case Namespace n -> "Namespace";
            case Function f -> "function";
            default -> value.getClass().getSimpleName();
        };
    }

    /** As {@code str(value)}. */
    static String string(Object value) {
        return switch (value) {
            case String s -> s;
            case Markup m -> m.text();
            case Undefined u -> "";
            default -> repr(value);
        };
    }

    static String repr(Object value) {
        StringBuilder out = new StringBuilder();
        repr(value, out);
        return out.toString();
    }

    private static void repr(Object value, StringBuilder out) {
        switch (value) {
            case String s -> out.append(PyString.repr(s));
            case Markup m ->
                out.append("Markup(").append(PyString.repr(m.text())).append(')');
            case Boolean b -> out.append(b ? "True" : "False");
            case None n -> out.append("None");
            case Undefined u -> out.append("Undefined");
            case Double d -> out.append(PyNumber.repr(d));
            case List<?> l -> sequence(l, "[", "]", out);
            case Tuple t -> sequence(t.items(), "(", t.items().size() == 1 ? ",)" : ")", out);
            case Map<?, ?> m -> dict(m, out);
            case View v -> sequence(v.items(), v.name() + "([", "])", out);
            case Range r ->
                out.append("range(" + r.start() + ", " + r.stop() + (r.step() == 1 ? "" : ", " + r.step()) + ")");
            case Namespace n -> {
                out.append("<Namespace ");
                dict(n.attributes(), out);
                out.append('>');
            }
            case Generator g -> out.append("<generator object>");
            case Function f -> out.append("<function>");
            default -> out.append(value);
        }
        if (out.length() > REPR_MAX) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template prints a value of more than " + REPR_MAX + " characters.");
        }
    }

    private static void sequence(List<?> items, String open, String close, StringBuilder out) {
        out.append(open);
        String separator = "";
        for (Object item : items) {
            out.append(separator);
            repr(item, out);
            separator = ", ";
        }
        out.append(close);
    }

    private static void dict(Map<?, ?> map, StringBuilder out) {
        String separator = "{";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            out.append(separator);
            repr(entry.getKey(), out);
            out.append(": ");
            repr(entry.getValue(), out);
            separator = ", ";
        }
        out.append(map.isEmpty() ? "{}" : "}");
    }

    static boolean equal(Object a, Object b, Budget budget) {
        budget.step();
        if (PyNumber.isNumber(a) && PyNumber.isNumber(b)) {
            return PyNumber.compare(a, b) == 0;
        }
        if (isString(a) && isString(b)) {
            return string(a).equals(string(b));
        }
        if (a instanceof Undefined && b instanceof Undefined) {
            return true;
        }
        if (a instanceof List<?> x && b instanceof List<?> y) {
            return equalItems(x, y, budget);
        }
        if (a instanceof Tuple x && b instanceof Tuple y) {
            return equalItems(x.items(), y.items(), budget);
        }
        if (a instanceof Map<?, ?> x && b instanceof Map<?, ?> y) {
            return equalDicts(x, y, budget);
        }
        return a == b || (a instanceof Range && a.equals(b));
    }

    private static boolean equalItems(List<?> a, List<?> b, Budget budget) {
        if (a.size() != b.size()) {
            return false;
        }
        for (int i = 0; i < a.size(); i++) {
            if (!equal(a.get(i), b.get(i), budget)) {
                return false;
            }
        }
        return true;
    }

    private static boolean equalDicts(Map<?, ?> a, Map<?, ?> b, Budget budget) {
        if (a.size() != b.size()) {
            return false;
        }
        for (Map.Entry<?, ?> entry : a.entrySet()) {
            Object other = b.get(entry.getKey());
            if (other == null || !equal(entry.getValue(), other, budget)) {
                return false;
            }
        }
        return true;
    }

    /** Order as by {@code <}. */
    static int compare(Object a, Object b, String operator, Budget budget) {
        budget.step();
        if (PyNumber.isNumber(a) && PyNumber.isNumber(b)) {
            return PyNumber.compare(a, b);
        }
        if (isString(a) && isString(b)) {
            return PyString.compare(string(a), string(b));
        }
        if (a instanceof List<?> x && b instanceof List<?> y) {
            return compareItems(x, y, operator, budget);
        }
        if (a instanceof Tuple x && b instanceof Tuple y) {
            return compareItems(x.items(), y.items(), operator, budget);
        }
        throw undefinedOr(
                a,
                b,
                "'" + operator + "' not supported between instances of '" + typeName(a) + "' and '" + typeName(b)
                        + "'");
    }

    private static int compareItems(List<?> a, List<?> b, String operator, Budget budget) {
        for (int i = 0; i < Math.min(a.size(), b.size()); i++) {
            if (!equal(a.get(i), b.get(i), budget)) {
                return compare(a.get(i), b.get(i), operator, budget);
            }
        }
        return Integer.compare(a.size(), b.size());
    }

    static boolean contains(Object container, Object item, Budget budget) {
        budget.work(container);
        if (isString(container)) {
            if (!isString(item)) {
                throw TemplateException.runtime("'in <string>' requires string as left operand, not " + typeName(item));
            }
            return string(container).contains(string(item));
        }
        if (container instanceof Map<?, ?> map) {
            return map.containsKey(key(item));
        }
        if (!isIterable(container)) {
            throw TemplateException.runtime("argument of type '" + typeName(container) + "' is not iterable");
        }
        for (Object candidate : iterate(container)) {
            if (equal(candidate, item, budget)) {
                return true;
            }
        }
        return false;
    }

    static boolean isString(Object value) {
        return value instanceof String || value instanceof Markup;
    }

    static boolean isIterable(Object value) {
        return isString(value)
                || value instanceof List
                || value instanceof Map
                || value instanceof Tuple
                || value instanceof View
                || value instanceof Range
                || value instanceof Generator
                || value instanceof Undefined;
    }

    /** The elements, in order; not to be changed. */
    @SuppressWarnings("unchecked")
    static List<Object> iterate(Object value) {
        return switch (value) {
            case List<?> l -> (List<Object>) l;
            case Tuple t -> t.items();
            case Map<?, ?> m -> new ArrayList<>(m.keySet());
            case View v -> v.items();
            case Range r -> r.items();
            case Generator g -> g.drain();
            case String s -> PyString.characters(s);
            case Markup m -> PyString.characters(m.text());
            case Undefined u when !u.unsafe() -> List.of();
            default -> throw undefinedOr(value, "'" + typeName(value) + "' object is not iterable");
        };
    }

    /** As {@code len(value)}. */
    static long length(Object value) {
        return switch (value) {
            case String s -> PyString.length(s);
            case Markup m -> PyString.length(m.text());
            case List<?> l -> l.size();
            case Map<?, ?> m -> m.size();
            case Tuple t -> t.items().size();
            case View v -> v.items().size();
            case Range r -> r.length();
            case Undefined u when !u.unsafe() -> 0;
            default -> throw undefinedOr(value, "object of type '" + typeName(value) + "' has no len()");
        };
    }

    /** A value as the key of a dict. */
    static Object key(Object value) {
        return switch (value) {
            case Markup m -> m.text();
            case Double d when d == Math.rint(d) && Math.abs(d) < 1e15 -> (long) (double) d;
            case List<?> l -> throw TemplateException.runtime("unhashable type: 'list'");
            case Map<?, ?> m -> throw TemplateException.runtime("unhashable type: 'dict'");
            default -> value;
        };
    }

    static long toLong(Object value) {
        return switch (value) {
            case Long l -> l;
            case Boolean b -> b ? 1 : 0;
            case BigInteger i -> i.signum() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
            default -> throw undefinedOr(value, "'" + typeName(value) + "' object cannot be interpreted as an integer");
        };
    }

    /** The error of a missing value, or else of its type. */
    static TemplateException undefinedOr(Object value, String message) {
        return value instanceof Undefined undefined ? undefined.error() : TemplateException.runtime(message);
    }

    static TemplateException undefinedOr(Object a, Object b, String message) {
        return a instanceof Undefined undefined ? undefined.error() : undefinedOr(b, message);
    }
}
