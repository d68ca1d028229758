package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Tuple;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Python's {@code '%s' % value}. */
final class PercentFormat {

    private static final Pattern DIRECTIVE = Pattern.compile(
            "%(?:\\((?<key>[^)]*)\\))?(?<flags>[-+ #0]*)(?<width>\\d{1,9})?(?:\\.(?<precision>\\d{1,3}))?"
                    + "[hlL]?(?<type>.)",
            Pattern.DOTALL);

    private PercentFormat() {}

    static String format(String format, Object arguments, Budget budget) {
        List<Object> values = arguments instanceof Tuple tuple ? tuple.items() : List.of(arguments);
        StringBuilder out = new StringBuilder();
        Matcher directive = DIRECTIVE.matcher(format);
        int used = 0;
        int at = 0;
        for (int next = format.indexOf('%'); next >= 0; next = format.indexOf('%', at)) {
            out.append(format, at, next);
            if (!directive.find(next) || directive.start() != next) {
                throw TemplateException.runtime("incomplete format");
            }
            at = directive.end();
            if (directive.group("type").equals("%")) {
                out.append('%');
                continue;
            }
            Object value;
            if (directive.group("key") != null) {
                value = arguments instanceof Map<?, ?> map ? map.get(directive.group("key")) : null;
            } else {
                value = used < values.size() ? values.get(used) : null;
                used++;
            }
            if (value == null) {
                throw TemplateException.runtime("not enough arguments for format string");
            }
            String piece = one(directive, value, budget);
            budget.allocate(piece.length());
            out.append(piece);
        }
        if (used < values.size() && !(arguments instanceof Map)) {
            throw TemplateException.runtime("not all arguments converted during string formatting");
        }
        return out.append(format, at, format.length()).toString();
    }

    private static String one(Matcher directive, Object value, Budget budget) {
        String flags = directive.group("flags");
        String precision = directive.group("precision");
        char type = directive.group("type").charAt(0);
        NumberFormat number = new NumberFormat(
                flags.indexOf('+') >= 0 ? '+' : flags.indexOf(' ') >= 0 ? ' ' : '-',
                flags.indexOf('#') >= 0,
                false,
                precision == null ? -1 : Integer.parseInt(precision));
        String text = switch (type) {
            case 's' -> cut(Py.string(value), precision);
            case 'r', 'a' -> cut(Py.repr(value), precision);
            case 'c' -> Py.isString(value) ? Py.string(value) : Character.toString((int) Py.toLong(value));
            case 'd', 'i', 'u' -> {
                if (!PyNumber.isNumber(value)) {
                    throw Py.undefinedOr(value, "%d format: a real number is required, not " + Py.typeName(value));
                }
                Object whole = value instanceof Double d ? (Object) new java.math.BigDecimal(d).toBigInteger() : value;
                yield number.format(whole, 'd');
            }
            case 'x', 'X', 'o', 'e', 'E', 'f', 'F', 'g', 'G' -> number.format(value, type);
            default -> throw TemplateException.runtime("unsupported format character '" + type + "'");
        };
        int width = directive.group("width") == null ? 0 : Integer.parseInt(directive.group("width"));
        boolean zero = flags.indexOf('0') >= 0 && "srac".indexOf(type) < 0;
        char align = flags.indexOf('-') >= 0 ? '<' : zero ? '=' : '>';
        return NumberFormat.pad(text, width, align, zero && align == '=' ? "0" : " ", budget);
    }

    private static String cut(String text, @org.jspecify.annotations.Nullable String precision) {
        if (precision == null) {
            return text;
        }
        int length = Math.min(PyString.length(text), Integer.parseInt(precision));
        return text.substring(0, text.offsetByCodePoints(0, length));
    }
}
