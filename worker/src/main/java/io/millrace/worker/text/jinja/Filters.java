package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Generator;
import io.millrace.worker.text.jinja.Values.Markup;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** Jinja's filters on single values; those on sequences are in {@link SequenceFilters}. */
final class Filters {

    private static final Set<String> NAMES = Set.of(
            "abs",
            "attr",
            "capitalize",
            "center",
            "d",
            "default",
            "e",
            "escape",
            "float",
            "forceescape",
            "format",
            "indent",
            "int",
            "items",
            "length",
            "count",
            "lower",
            "upper",
            "replace",
            "round",
            "safe",
            "string",
            "title",
            "tojson",
            "trim",
            "truncate",
            "urlencode",
            "wordcount",
            "list");

    private Filters() {}

    static boolean exists(String name) {
        return NAMES.contains(name) || SequenceFilters.NAMES.contains(name);
    }

    static Object apply(String name, Object value, CallArguments a) {
        if (value instanceof Undefined undefined && undefined.unsafe()) {
            throw undefined.error();
        }
        if (SequenceFilters.NAMES.contains(name)) {
            return SequenceFilters.apply(name, value, a);
        }
        return switch (name) {
            case "abs" -> absolute(value);
            case "attr" -> Attributes.attributeOnly(value, a.requiredString(0, "name"));
            case "capitalize" -> Words.capitalize(Py.string(value));
            case "center" ->
                StringMethods.call(
                        Py.string(value),
                        "center",
                        new CallArguments(List.of(a.integer(0, "width", 80)), Map.of(), a.budget()));
            case "d", "default" -> standard(value, a);
            case "e", "escape", "forceescape" ->
                new Markup(value instanceof Markup && !name.equals("forceescape") ? escape(value) : escapeText(value));
            case "float" -> toReal(value, a);
            case "format" -> format(value, a);
            case "indent" -> indent(Py.string(value), a);
            case "int" -> toInteger(value, a);
            case "items" -> items(value);
            case "length", "count" -> Py.length(value);
            case "list" -> new ArrayList<>(Py.iterate(value));
            case "lower" -> Py.string(value).toLowerCase(Locale.ROOT);
            case "upper" -> Py.string(value).toUpperCase(Locale.ROOT);
            case "replace" ->
                PyString.replace(
                        Py.string(value),
                        Py.string(a.required(0, "old")),
                        Py.string(a.required(1, "new")),
                        a.isGiven(2, "count") ? a.integer(2, "count", -1) : -1,
                        a.budget());
            case "round" -> round(value, a);
            case "safe" -> new Markup(Py.string(value));
            case "string" -> value instanceof Markup ? value : Py.string(value);
            case "title" -> Words.titleFilter(Py.string(value));
            case "tojson" -> Json.write(value, a);
            case "trim" ->
                a.isGiven(0, "chars")
                        ? PyString.rstrip(
                                PyString.lstrip(Py.string(value), a.requiredString(0, "chars")),
                                a.requiredString(0, "chars"))
                        : PyString.rstrip(PyString.lstrip(Py.string(value)));
            case "truncate" -> truncate(Py.string(value), a);
            case "urlencode" ->
                URLEncoder.encode(Py.string(value), StandardCharsets.UTF_8)
                        .replace("+", "%20")
                        .replace("%2F", "/");
            case "wordcount" -> wordCount(Py.string(value));
            default ->
                throw new TemplateException(TemplateException.Kind.RUNTIME, "No filter named '" + name + "' found.");
        };
    }

    /** Text for HTML; Markup is that already. */
    static String escape(Object value) {
        return value instanceof Markup markup ? markup.text() : escapeText(value);
    }

    private static String escapeText(Object value) {
        return Py.string(value)
                .replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("'", "&#39;")
                .replace("\"", "&#34;");
    }

    static String concatenate(List<Object> strings) {
        StringBuilder out = new StringBuilder();
        strings.forEach(s -> out.append(Py.string(s)));
        return out.toString();
    }

    private static Object absolute(Object value) {
        if (!PyNumber.isNumber(value)) {
            throw Py.undefinedOr(value, "bad operand type for abs(): '" + Py.typeName(value) + "'");
        }
        return value instanceof Double d
                ? (Object) Math.abs(d)
                : PyNumber.normal(PyNumber.big(value).abs());
    }

    private static Object standard(Object value, CallArguments a) {
        boolean missing = value instanceof Undefined || (a.truth(1, "boolean", false) && !Py.truth(value));
        return missing ? a.get(0, "default_value", "") : value;
    }

    private static Object toReal(Object value, CallArguments a) {
        Object standard = a.get(0, "default", 0.0);
        if (Py.isString(value)) {
            Double parsed = PyNumber.parseReal(Py.string(value));
            return parsed == null ? standard : parsed;
        }
        if (value instanceof Undefined undefined) {
            throw undefined.error();
        }
        return PyNumber.isNumber(value) ? PyNumber.real(value) : standard;
    }

    private static Object toInteger(Object value, CallArguments a) {
        Object standard = a.get(0, "default", 0L);
        if (Py.isString(value)) {
            long base = a.integer(1, "base", 10);
            Object parsed = base < 2 || base > 36 ? null : PyNumber.parseInteger(Py.string(value), (int) base);
            if (parsed != null) {
                return parsed;
            }
            Double real = PyNumber.parseReal(Py.string(value));
            return real == null || real.isNaN() || real.isInfinite() ? standard : whole(real);
        }
        if (value instanceof Undefined undefined) {
            throw undefined.error();
        }
        if (value instanceof Double d) {
            return d.isNaN() || d.isInfinite() ? standard : whole(d);
        }
        return PyNumber.isNumber(value) ? PyNumber.normal(PyNumber.big(value)) : standard;
    }

    private static Object whole(double value) {
        return PyNumber.normal(new java.math.BigDecimal(value).toBigInteger());
    }

    private static Object round(Object value, CallArguments a) {
        if (!PyNumber.isNumber(value)) {
            throw Py.undefinedOr(value, "type " + Py.typeName(value) + " doesn't define __round__ method");
        }
        int digits = (int) Math.max(-1000, Math.min(1000, a.integer(0, "precision", 0)));
        String method = a.string(1, "method", "common");
        RoundingMode mode = switch (method) {
            case "common" -> RoundingMode.HALF_EVEN;
            case "ceil" -> RoundingMode.CEILING;
            case "floor" -> RoundingMode.FLOOR;
            default -> throw TemplateException.runtime("method must be common, ceil or floor");
        };
        if (PyNumber.isInteger(value) && method.equals("common")) {
            BigInteger whole = new java.math.BigDecimal(PyNumber.big(value))
                    .setScale(Math.max(-400, Math.min(0, digits)), mode)
                    .toBigInteger();
            return PyNumber.normal(whole);
        }
        return PyNumber.round(PyNumber.real(value), digits, mode);
    }

    private static Object format(Object value, CallArguments a) {
        Object arguments = a.named().isEmpty()
                ? new Values.Tuple(a.positional())
                : new java.util.LinkedHashMap<Object, Object>(a.named());
        return PercentFormat.format(Py.string(value), arguments, a.budget());
    }

    private static String indent(String text, CallArguments a) {
        Object width = a.get(0, "width", 4L);
        String prefix =
                Py.isString(width) ? Py.string(width) : " ".repeat((int) Math.clamp(Py.toLong(width), 0, 10_000));
        boolean first = a.truth(1, "first", false);
        boolean blank = a.truth(2, "blank", false);
        String[] lines = (text + "\n").split("\r\n|[\n\r\013\f\034\035\036\u0085\u2028\u2029]", -1);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < lines.length - 1; i++) {
            out.append(i == 0 ? "" : "\n");
            if (i == 0 ? first : blank || !lines[i].isEmpty()) {
                out.append(prefix);
            }
            out.append(lines[i]);
            a.budget().allocate(lines[i].length() + (long) prefix.length());
        }
        return out.toString();
    }

    private static Object items(Object value) {
        if (value instanceof Undefined) {
            return new Generator(List.of());
        }
        if (value instanceof Map<?, ?> map) {
            return new Generator(Attributes.items(map));
        }
        throw TemplateException.runtime("Can only get item pairs from a mapping.");
    }

    private static String truncate(String text, CallArguments a) {
        long length = a.integer(0, "length", 255);
        boolean killWords = a.truth(1, "killwords", false);
        String end = a.string(2, "end", "...");
        long leeway = a.isGiven(3, "leeway") ? a.integer(3, "leeway", 5) : 5;
        int n = PyString.length(text);
        if (length < PyString.length(end) || leeway < 0) {
            throw TemplateException.runtime("expected length >= " + PyString.length(end) + ", got " + length);
        }
        if (n <= length + leeway) {
            return text;
        }
        String cut = text.substring(0, text.offsetByCodePoints(0, (int) length - PyString.length(end)));
        int space = cut.lastIndexOf(' ');
        return (killWords || space < 0 ? cut : cut.substring(0, space)) + end;
    }

    private static Object wordCount(String text) {
        long words = 0;
        boolean in = false;
        for (int c : text.codePoints().toArray()) {
            boolean word = Character.isLetterOrDigit(c) || c == '_';
            words += word && !in ? 1 : 0;
            in = word;
        }
        return words;
    }

    /** None as an argument that was left out. */
    static boolean isNone(Object value) {
        return value == None.NONE;
    }
}
