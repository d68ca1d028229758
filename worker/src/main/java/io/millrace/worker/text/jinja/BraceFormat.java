package io.millrace.worker.text.jinja;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Python's {@code '{}'.format(...)}, with attributes and items as in the sandbox. */
final class BraceFormat {

    private static final Pattern FIELD = Pattern.compile(
            "\\{(?<name>[^{}!:.\\[]*)(?<path>[^{}!:]*)(?:!(?<conversion>[rsa]))?(?::(?<spec>[^{}]*))?\\}");
    private static final Pattern STEP = Pattern.compile("\\.(?<attribute>[^.\\[]+)|\\[(?<item>[^\\]]+)\\]");
    private static final Pattern SPECIFICATION = Pattern.compile(
            "(?:(?<fill>.)?(?<align>[<>=^]))?(?<sign>[-+ ])?(?<alternative>#)?(?<zero>0)?(?<width>\\d{1,9})?(?<comma>,)?"
                    + "(?:\\.(?<precision>\\d{1,3}))?(?<type>[a-zA-Z%])?",
            Pattern.DOTALL);

    private BraceFormat() {}

    static String format(String format, CallArguments a) {
        StringBuilder out = new StringBuilder();
        Matcher field = FIELD.matcher(format);
        int automatic = 0;
        for (int at = 0; at < format.length(); ) {
            char c = format.charAt(at);
            if (c != '{' && c != '}') {
                out.append(c);
                at++;
            } else if (at + 1 < format.length() && format.charAt(at + 1) == c) {
                out.append(c);
                at += 2;
            } else {
                if (c == '}' || !field.find(at) || field.start() != at) {
                    throw TemplateException.runtime("Single '" + c + "' encountered in format string");
                }
                String name = field.group("name");
                Object value = name.isEmpty() || name.matches("\\d{1,6}")
                        ? a.required(name.isEmpty() ? automatic++ : Integer.parseInt(name), "")
                        : a.required(Integer.MAX_VALUE, name);
                String piece = field(value, field, a.budget());
                a.budget().allocate(piece.length());
                out.append(piece);
                at = field.end();
            }
        }
        return out.toString();
    }

    private static String field(Object base, Matcher field, Budget budget) {
        Object value = base;
        Matcher step = STEP.matcher(field.group("path"));
        while (step.find()) {
            String attribute = step.group("attribute");
            String item = step.group("item");
            if (attribute != null) {
                value = Attributes.attributeOnly(value, attribute);
            } else {
                value = Attributes.item(value, item.matches("\\d{1,9}") ? (Object) Long.valueOf(item) : item);
            }
            if (value instanceof Values.Undefined undefined) {
                throw undefined.error();
            }
        }
        String conversion = field.group("conversion");
        if (conversion != null) {
            value = conversion.equals("s") ? Py.string(value) : Py.repr(value);
        }
        String specification = field.group("spec");
        return specification == null || specification.isEmpty()
                ? Py.string(value)
                : apply(value, specification, budget);
    }

    private static String apply(Object value, String specification, Budget budget) {
        Matcher spec = SPECIFICATION.matcher(specification);
        if (!spec.matches()) {
            throw TemplateException.runtime("Invalid format specifier '" + specification + "'");
        }
        String precision = spec.group("precision");
        NumberFormat numbers = new NumberFormat(
                spec.group("sign") == null ? '-' : spec.group("sign").charAt(0),
                spec.group("alternative") != null,
                spec.group("comma") != null,
                precision == null ? -1 : Integer.parseInt(precision));
        boolean number = PyNumber.isNumber(value) && !(value instanceof Boolean && spec.group("type") == null);
        String text;
        if (number) {
            boolean plain = spec.group("type") == null;
            text = plain && value instanceof Double
                    ? (precision == null ? PyNumber.repr((Double) value) : numbers.format(value, 'g'))
                    : numbers.format(value, plain ? 'd' : spec.group("type").charAt(0));
        } else {
            text = Py.string(value);
            if (precision != null) {
                int length = Math.min(PyString.length(text), Integer.parseInt(precision));
                text = text.substring(0, text.offsetByCodePoints(0, length));
            }
        }
        boolean zero = spec.group("zero") != null;
        String align = spec.group("align") != null ? spec.group("align") : zero ? "=" : number ? ">" : "<";
        String fill = spec.group("fill") != null ? spec.group("fill") : zero ? "0" : " ";
        int width = spec.group("width") == null ? 0 : Integer.parseInt(spec.group("width"));
        return NumberFormat.pad(text, width, align.charAt(0), fill, budget);
    }
}
